"""Talk to the controller over HTTPS: enrol, and report digest first.

A check-in carries digests only.  The controller answers with the sections that it does not know; only those follow.
Plain HTTP is spoken to this machine alone (the demo, a proxy beside the agent).  Redirects are not followed.
"""

import json
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import identity as state
from . import kept
from .audit import take
from .deadline import DeadlineExceeded, within
from .gather import Source
from .host import Host
from .wire import AUDIT, CHECK_IN, Answer, WireError, decode_answer

STALLED = 60.0  # seconds without a byte from the controller
PATIENCE = 180.0  # seconds for one message and its answer, however they come in
ANSWER_LIMIT = 4 << 20
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ReportError(Exception):
    """The controller was not reached, or it refused."""


class Place(NamedTuple):
    """Where a controller is.  `path` is what comes before the paths of its API: "" or "/like/this"."""

    scheme: str
    host: str
    port: Optional[int]
    path: str


class Reported(NamedTuple):
    """How a report went: the root, the sections that had to be sent, and in how many seconds the next one is wanted."""

    root: str
    sent: Sequence[str]
    next_poll: int


def parse_url(url: str) -> Place:
    """Return where a controller is.  Raises ReportError for anything but HTTPS, or HTTP to this machine."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        place = Place(parts.scheme, parts.hostname or "", parts.port, parts.path.rstrip("/"))
    except ValueError as error:
        raise ReportError("%s is no URL: %s" % (url, error)) from error
    if place.scheme not in ("http", "https") or not place.host or "@" in parts.netloc or parts.query or parts.fragment:
        raise ReportError("the controller's URL has to look like https://controller:8470, not %s" % url)
    if place.scheme == "http" and place.host not in LOOPBACK:
        raise ReportError("plain HTTP is spoken to this machine alone: use https://%s" % parts.netloc)
    return place


def post(url: str, path: str, data: bytes, ca_file: Optional[str]) -> Answer:
    """Send an envelope and return the controller's answer.  Raises ReportError."""
    import http.client

    place = parse_url(url)
    try:
        status, reason, content = within(PATIENCE, lambda: _exchange(place, path, data, ca_file))
    except DeadlineExceeded:
        raise ReportError("%s: no whole answer within %g s" % (url, PATIENCE)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ReportError("%s: %s" % (url, str(error) or type(error).__name__)) from error
    if status != 200:
        raise ReportError("%s refused: %s" % (url, _reason(content) or "%d %s" % (status, reason)))
    if len(content) > ANSWER_LIMIT:
        raise ReportError("%s: an answer of more than %d bytes" % (url, ANSWER_LIMIT))
    try:
        return decode_answer(content)
    except WireError as error:
        raise ReportError("%s: the answer is not understood: %s" % (url, error)) from error


def _exchange(place: Place, path: str, data: bytes, ca_file: Optional[str]) -> Tuple[int, str, bytes]:
    connection = _connect(place, ca_file)
    try:
        connection.request("POST", place.path + path, data, {"Content-Type": "application/vnd.dsse+json"})
        answer = connection.getresponse()
        return answer.status, answer.reason, answer.read(ANSWER_LIMIT + 1)
    finally:
        connection.close()


def _connect(place: Place, ca_file: Optional[str]) -> Any:
    import http.client

    if place.scheme == "http":
        return http.client.HTTPConnection(place.host, place.port, timeout=STALLED)
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the certificate and the name, and trusts nobody yet
    if hasattr(context, "minimum_version"):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    else:  # Python 3.6
        context.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    if ca_file is None:
        context.load_default_certs()
    else:
        _trust(context, ca_file)
    return http.client.HTTPSConnection(place.host, place.port, timeout=STALLED, context=context)


def _trust(context: Any, ca_file: str) -> None:
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # of which neither "no such file" nor "no certificate in it" says the name
        raise OSError("the CA's certificate %s: %s" % (ca_file, error.strerror or error)) from error


def _reason(content: bytes) -> str:
    """Return why a controller refused, and on a second line what it advises, if the answer says so."""
    try:
        fields = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return ""
    said = [fields.get(name) for name in ("error", "mend")] if isinstance(fields, dict) else []
    return "\n  ".join(" ".join(text.split())[:500] for text in said if isinstance(text, str) and text.split())


def report(directory: str, host: Host, sources: Sequence[Source]) -> Reported:
    """Audit the host and report: digests first, then what the controller asks for.

    Raises ReportError, IdentityError, OSError.
    """
    state.load_identity(directory)  # where nobody enrolled, nothing is made, not even a lock
    with state.locked(directory):
        identity = state.load_identity(directory)
        if not identity.controller:
            raise ReportError("this host was enrolled without a controller to call: it answers when it is asked")
        memory = kept.load_memory(directory, host)
        audit = take(host, sources, identity.host_id, None, memory)
        answer = _send(directory, identity, CHECK_IN, audit.summary())
        unknown: List[str] = sorted(set(answer.unknown) & set(audit.digests))
        if unknown:
            known = {name: section.digest for name, section in audit.digests.items() if name not in unknown}
            known.update((name, answer.known[name]) for name in unknown if name in answer.known)
            body = audit.body(known, lambda: kept.load_cache(directory), "")
            answer = _send(directory, identity, AUDIT, body)
        kept.save_cache(directory, audit.root, lambda: audit.cache(lambda: kept.load_cache(directory)))
        kept.save_memory(directory, memory, host)
        return Reported(audit.root, unknown, answer.next_poll)


def _send(directory: str, identity: state.Identity, kind: str, body: Dict[str, Any]) -> Answer:
    """Send one message.  It is in the history before it leaves: whether it arrived, nobody knows until the answer."""
    key = state.load_key(directory)
    message, history = state.next_message(identity, state.load_history(directory), kind, body)
    state.save_history(directory, history)
    answer = post(identity.controller, "/agent/v1/messages", state.seal(message, key), identity.ca_file)
    state.save_history(directory, state.acknowledge(history, answer.accepted))
    return answer
