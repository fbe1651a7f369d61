"""Talk to the controller over HTTPS: enrol, and report digest first.

A check-in carries digests only.  The controller answers with the sections that it does not know; only those follow.
Plain HTTP is spoken to this machine alone (the demo, a proxy beside the agent).
"""

import json
from typing import Any, Dict, NamedTuple, Optional, Sequence
from urllib.parse import urlsplit

from . import identity as state
from . import kept
from .audit import take
from .host import Host
from .model import Collector
from .wire import AUDIT, CHECK_IN

TIMEOUT = 60.0
ANSWER_LIMIT = 4 << 20
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ReportError(Exception):
    """The controller was not reached, or it refused."""


class Reported(NamedTuple):
    """How a report went: the root, how many sections had to be sent, and when the controller wants the next one."""

    root: str
    sent: Sequence[str]
    next_poll: int


def post(url: str, path: str, data: bytes, ca_file: Optional[str]) -> Dict[str, Any]:
    """Send an envelope and return the controller's answer.  Raises ReportError."""
    import http.client

    parts = urlsplit(url)
    try:
        connection = _connect(parts.scheme, parts.hostname or "", parts.port, ca_file)
        try:
            headers = {"Content-Type": "application/vnd.dsse+json"}
            connection.request("POST", parts.path.rstrip("/") + path, data, headers)
            answer = connection.getresponse()
            content = answer.read(ANSWER_LIMIT + 1)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise ReportError("%s: %s" % (url, error)) from error
    try:
        fields = json.loads(content.decode("utf-8"))
    except ValueError:
        fields = {}
    if not isinstance(fields, dict) or len(content) > ANSWER_LIMIT:
        raise ReportError("%s: the answer is not understood" % url)
    if answer.status != 200:
        reason = str(fields.get("error", answer.reason))
        raise ReportError("%s refused: %s" % (url, reason.encode("unicode_escape").decode("ascii")[:500]))
    return fields


def _connect(scheme: str, host: str, port: Optional[int], ca_file: Optional[str]) -> Any:
    import http.client

    if scheme == "http":
        if host not in LOOPBACK:
            raise ReportError("plain HTTP is spoken to this machine alone: use https://%s" % host)
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    if scheme != "https":
        raise ReportError("the controller's URL must begin with https://")
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the certificate and the name, and trusts nobody yet
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    else:
        context.load_default_certs()
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)


def report(directory: str, host: Host, collectors: Sequence[Collector]) -> Reported:
    """Audit the host and report: digests first, then what the controller asks for.

    Raises ReportError, IdentityError.
    """
    with state.locked(directory):
        identity = state.load_identity(directory)
        if not identity.controller:
            raise ReportError("this host was enrolled without a controller to call: it answers when it is asked")
        audit = take(host, collectors, identity.host_id, None)
        answer = _send(directory, identity, CHECK_IN, audit.summary())
        unknown = [name for name in answer.get("unknown", []) if name in audit.snapshot.sections]
        if unknown:
            known = {name: section.digest for name, section in audit.digests.items() if name not in unknown}
            known.update({str(name): str(digest) for name, digest in answer.get("known", {}).items()})
            answer = _send(directory, identity, AUDIT, audit.body(known, kept.load_cache(directory), ""))
        kept.save_cache(directory, audit.cache())
        return Reported(audit.root, unknown, int(answer.get("next_poll", 86400)))


def _send(directory: str, identity: state.Identity, kind: str, body: Dict[str, Any]) -> Dict[str, Any]:
    key = state.load_key(directory)
    message, history = state.next_message(identity, state.load_history(directory), kind, body)
    state.save_history(directory, history)
    answer = post(identity.controller, "/agent/v1/messages", state.seal(message, key), identity.ca_file)
    state.save_history(directory, state.acknowledge(history, str(answer.get("accepted", ""))))
    return answer
