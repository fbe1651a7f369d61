"""Talk to the controller over HTTPS: enrol, and report digest first; keep in the spool what cannot be delivered.

A check-in carries digests only.  The controller answers with the sections that it does not know; only those follow.
Plain HTTP is spoken to this machine alone (the demo, a proxy beside the agent).  Redirects are not followed.
"""

import json
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import identity as state
from . import kept
from .audit import Audit, take
from .deadline import DeadlineExceeded, within
from .gather import Source
from .host import Host
from .spool import Spool
from .wire import AUDIT, CHECK_IN, Answer, WireError, decode_answer

STALLED = 60.0  # seconds without a byte from the controller
PATIENCE = 180.0  # seconds for one message and its answer, however they come in
ANSWER_LIMIT = 4 << 20
TRY_AGAIN = (408, 425, 429)  # statuses with which a controller puts off, and does not refuse
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ReportError(Exception):
    """The controller was not reached, or it refused."""


class Unreachable(ReportError):
    """No answer came that a controller gives: trying again may help."""


class Refused(ReportError):
    """The controller answered that it does not take this."""


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
        raise Unreachable("%s: no whole answer within %g s" % (url, PATIENCE)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unreachable("%s: %s" % (url, str(error) or type(error).__name__)) from error
    if status != 200:
        said = _reason(content)
        # Whatever stands between (a proxy, a portal) refuses in words of its own.
        kind = Refused if said and 400 <= status < 500 and status not in TRY_AGAIN else Unreachable
        raise kind("%s refused: %s" % (url, said or "%d %s" % (status, reason)))
    if len(content) > ANSWER_LIMIT:
        raise Unreachable("%s: an answer of more than %d bytes" % (url, ANSWER_LIMIT))
    try:
        return decode_answer(content)
    except WireError as error:
        raise Unreachable("%s: the answer is not understood: %s" % (url, error)) from error


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
    """Audit the host and report: what waits in the spool, then digests, then what the controller asks for.

    Where the controller is not reached, the audit is kept in the spool, signed as it is.
    Raises ReportError, IdentityError, OSError.
    """
    state.load_identity(directory)  # where nobody enrolled, nothing is made, not even a lock
    with state.locked(directory):
        identity = state.load_identity(directory)
        if not identity.controller:
            raise ReportError("this host was enrolled without a controller to call: it answers when it is asked")
        memory = kept.load_memory(directory, host)
        audit = take(host, sources, identity.host_id, None, memory)
        reporter = _Reporter(directory, identity, audit)
        try:
            reported = reporter.report()
        except Unreachable as error:
            raise Unreachable("%s\n  %s" % (error, reporter.keep())) from error
        finally:  # the spool's next patch is against this audit, too
            kept.save_cache(directory, audit.root, lambda: audit.cache(lambda: kept.load_cache(directory)))
            kept.save_memory(directory, memory, host)
        return reported


class _Reporter:
    """One report of one audit."""

    def __init__(self, directory: str, identity: state.Identity, audit: Audit) -> None:
        self._directory = directory
        self._identity = identity
        self._audit = audit
        self._spool = Spool(directory)

    def report(self) -> Reported:
        """Deliver what waits, and then this audit.  Raises ReportError."""
        self._deliver()
        answer = self._send(CHECK_IN, self._body(self._audit.summary()))
        unknown: List[str] = sorted(set(answer.unknown) & set(self._audit.digests))
        if unknown:
            known = self._digests()
            for name in unknown:
                known.pop(name)
            known.update((name, answer.known[name]) for name in unknown if name in answer.known)
            answer = self._send(AUDIT, self._body(self._rows(known)))
        kept.save_told(self._directory, self._digests())
        return Reported(self._audit.root, unknown, answer.next_poll)

    def keep(self) -> str:
        """Keep this audit until the controller can be reached, and return what became of it."""
        told = kept.load_told(self._directory)
        if self._spool.names() and told == self._digests():
            return "Nothing changed since the last audit that waits in the spool."
        sequence, envelope = self._seal(AUDIT, self._body(self._rows(told)))
        self._spool.add(sequence, envelope)
        kept.save_told(self._directory, self._digests())
        waiting = self._spool.waiting()
        return "The audit is kept: %d in the spool, %d dropped so far." % (waiting.messages, waiting.dropped)

    def _deliver(self) -> None:
        """Send what waits, the oldest first.  What the controller refuses, it would refuse for ever."""
        for name in self._spool.names():
            try:
                self._post(self._spool.read(name))
            except Refused:
                self._spool.drop(name)
            else:
                self._spool.remove(name)

    def _body(self, body: Dict[str, Any]) -> Dict[str, Any]:
        dropped = self._spool.dropped()
        return dict(body, dropped=dropped) if dropped else body

    def _rows(self, known: Dict[str, str]) -> Dict[str, Any]:
        return self._audit.body(known, lambda: kept.load_cache(self._directory), "")

    def _digests(self) -> Dict[str, str]:
        return {name: section.digest for name, section in self._audit.digests.items()}

    def _send(self, kind: str, body: Dict[str, Any]) -> Answer:
        return self._post(self._seal(kind, body)[1])

    def _seal(self, kind: str, body: Dict[str, Any]) -> Tuple[int, bytes]:
        """Return the number of a message, and the message, signed.

        It is in the history before it leaves: whether it arrives, nobody knows yet.
        """
        key = state.load_key(self._directory)
        payload, history = state.next_message(self._identity, state.load_history(self._directory), kind, body)
        state.save_history(self._directory, history)
        return history.sequence, state.seal(payload, key)

    def _post(self, envelope: bytes) -> Answer:
        answer = post(self._identity.controller, "/agent/v1/messages", envelope, self._identity.ca_file)
        history = state.load_history(self._directory)
        state.save_history(self._directory, state.acknowledge(history, answer.accepted))
        return answer
