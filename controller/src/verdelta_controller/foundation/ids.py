"""Identifiers and secrets that nobody can guess, and the digests that stand for secrets in the database."""

import hashlib
import re
import secrets

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def new_id() -> str:
    """Return a random identifier: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def new_secret() -> str:
    """Return a secret of 256 bits that is safe in a URL and in a shell."""
    return secrets.token_hex(32)


def digest_of_secret(secret: str) -> str:
    """Return what is stored of a secret.  A random secret of 256 bits needs no salt and no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_name(text: str) -> bool:
    """Return whether a text can name a host, a group, an environment, a credential or a token."""
    return _NAME.fullmatch(text) is not None
