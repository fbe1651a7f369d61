"""SSH host keys as people, ssh-keyscan and known_hosts files write them.  Pure: nobody is asked for a key here.

Sources of the formats: sshd(8) "SSH_KNOWN_HOSTS FILE FORMAT"; RFC 4253 section 6.6 (the key itself).
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterator
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from ..foundation.errors import InvalidInput

PREFERRED = ("ssh-ed25519", "ecdsa-sha2-nistp256")  # of several keys: those that can sign for Verdelta, too
KINDS = (*PREFERRED, "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")

_LIMIT = 4000  # characters of a key
_REVOKED = "@revoked"


def normal(text: str) -> str:
    """Return a host key as it is pinned: its type and base64, without a comment.

    Raises InvalidInput, which repeats nothing: it may be a private key, given by mistake.
    """
    words = text.split()
    if len(text) > _LIMIT or len(words) < 2 or "\n" in text.strip() or words[0] not in KINDS:
        raise _not_a_key()
    key = f"{words[0]} {words[1]}"
    try:
        load_ssh_public_key(key.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_a_key() from error
    return key


def fingerprint(host_key: str) -> str:
    """Return the fingerprint of a host key as ssh-keygen shows it.  Raises InvalidInput when it is not a key."""
    kind, encoded = normal(host_key).split()
    digest = sha256(b64decode(encoded)).digest()
    return f"SHA256:{b64encode(digest).decode().rstrip('=')} ({kind})"


def from_known_hosts(text: str, host: str, port: int) -> str:
    """Return the key that a known_hosts file has for an address.  Raises InvalidInput when it has none to use."""
    wanted = (host if port == 22 else f"[{host}]:{port}").lower()
    lines = [line for line in _lines(text) if _is_for(line.hosts, wanted)]
    revoked = {line.key for line in lines if line.marker == _REVOKED}
    usable = [line.key for line in lines if not line.marker and line.key not in revoked]
    if not usable:
        reason = "only revoked keys" if revoked else "no key"
        raise InvalidInput(f"known_hosts has {reason} for {wanted}", mend="Give the fingerprint instead: --fingerprint")
    return min(usable, key=lambda key: KINDS.index(key.split()[0]))


class _Line(NamedTuple):
    marker: str
    hosts: str
    key: str


def _lines(text: str) -> Iterator[_Line]:
    """Yield the lines with a key that we can use; one of another kind pins nothing."""
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            continue
        try:
            yield _Line(marker, words[0], normal(f"{words[1]} {words[2]}"))
        except InvalidInput:
            continue


def _is_for(hosts: str, wanted: str) -> bool:
    """Return whether the host names of a line, which may be hashed or patterns, have one that is wanted."""
    if hosts.startswith("|"):
        return _is_hash_of(hosts, wanted)
    names = hosts.lower().split(",")
    if any(_matches(name[1:], wanted) for name in names if name.startswith("!")):
        return False
    return any(_matches(name, wanted) for name in names if not name.startswith("!"))


def _is_hash_of(hashed: str, wanted: str) -> bool:
    parts = hashed.split("|")
    if len(parts) != 4 or parts[:2] != ["", "1"]:
        return False
    try:
        salt, digest = b64decode(parts[2], validate=True), b64decode(parts[3], validate=True)
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, wanted.encode(), "sha1"), digest)


def _matches(pattern: str, wanted: str) -> bool:
    """Return whether a name fits a pattern, in which * and ? stand for characters and nothing else does."""
    return fnmatchcase(wanted, pattern.replace("[", "[[]"))


def _not_a_key() -> InvalidInput:
    return InvalidInput(
        "this is not a public host key: expected its type and base64, as in known_hosts",
        mend=f"Types that are known: {', '.join(KINDS)}.",
    )
