"""verdelta-agent: inventory this host, sign what was seen, report it."""

import argparse
import json
import os
import socket
import sys
from typing import Any, Dict, List, Optional, Sequence, TextIO

from . import __version__, kept
from . import identity as state
from .audit import take
from .collectors import COLLECTORS
from .gather import gather
from .host import LocalHost
from .model import FAILED, OK, Collector, Snapshot, document
from .report import ReportError, post, report
from .wire import AUDIT, ENROL, GENESIS, Message, Request, WireError, decode_request, parse_token

EPILOG = """\
examples:
  verdelta-agent inventory                      everything this host shows, as tables
  verdelta-agent inventory software.dpkg -o json
  verdelta-agent enrol --url https://controller:8470 --ca ca.pem < token
  verdelta-agent report                         what the timer runs each night

exit codes: 0 ok, 1 failed, 2 wrong usage
"""

REQUEST_LIMIT = 1 << 20


class UsageError(Exception):
    """What was asked for makes no sense; the text says why."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (UsageError, WireError) as error:
        print("verdelta-agent: %s" % error, file=sys.stderr)
        return 2
    except (state.IdentityError, ReportError, OSError) as error:
        print("verdelta-agent: %s" % error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


def default_state() -> str:
    """Return /var/lib/verdelta-agent for root, the user's own state directory otherwise."""
    if os.geteuid() == 0:
        return "/var/lib/verdelta-agent"
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "verdelta-agent")


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("verdelta-agent", description=__doc__, epilog=EPILOG, formatter_class=shape)
    parser.add_argument("--version", action="version", version="verdelta-agent %s" % __version__)
    parser.add_argument("--state", default=default_state(), help="state directory (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.required = True

    inventory = commands.add_parser("inventory", help="print what this host shows; nothing is kept or sent")
    inventory.add_argument("section", nargs="*", help="only these sections, such as software.dpkg or hardware")
    inventory.add_argument("-o", "--output", choices=("table", "json"), default="table")
    inventory.set_defaults(run=run_inventory)

    audit = commands.add_parser("audit", help="print a signed audit of this host, one DSSE envelope")
    audit.add_argument("--request", metavar="FILE", help="what the controller asks for, as JSON; - is standard input")
    audit.add_argument("--sign-with", metavar="KEY", help="an SSH host key, where no agent is installed")
    audit.set_defaults(run=run_audit)

    enrol = commands.add_parser("enrol", help="make a key and enrol it with a one-time token")
    enrol.add_argument(
        "--token-file", dest="source", default="-", metavar="FILE", help="file with the token (default: standard input)"
    )
    enrol.add_argument("--url", default="", help="the controller, as in https://controller:8470")
    enrol.add_argument("--ca", metavar="FILE", help="the controller's CA certificate, which is pinned")
    enrol.add_argument("--watch", metavar="PATH", action="append", help="also watch the files below it (beside /etc)")
    enrol.add_argument("--replace", action="store_true", help="drop the key of an earlier enrolment")
    enrol.add_argument("--print", action="store_true", help="print the enrolment instead of sending it")
    enrol.set_defaults(run=run_enrol)

    reporter = commands.add_parser("report", help="audit this host and report to the controller, digests first")
    reporter.set_defaults(run=run_report)
    return parser


def run_inventory(options: argparse.Namespace) -> int:
    """Print the sections asked for, as tables or as one JSON document."""
    chosen = _chosen(options.section)
    snapshot = gather(LocalHost(_watched(options.state)), chosen)
    if options.output == "json":
        json.dump(document(snapshot), sys.stdout, indent=1, sort_keys=True)
        sys.stdout.write("\n")
    else:
        _print_tables(snapshot, sys.stdout)
    return 0


def _chosen(names: List[str]) -> List[Collector]:
    """Return the collectors of the sections named, exactly or by their first part.  Raises UsageError."""
    for name in names:
        if not any(_is_in(collector.name, name) for collector in COLLECTORS):
            import difflib

            near = difflib.get_close_matches(name, [collector.name for collector in COLLECTORS], 1, 0.4)
            raise UsageError("there is no section %r%s" % (name, "; did you mean %s?" % near[0] if near else ""))
    return [c for c in COLLECTORS if not names or any(_is_in(c.name, name) for name in names)]


def _is_in(section: str, name: str) -> bool:
    return section == name or section.startswith(name + ".")


def _print_tables(snapshot: Snapshot, out: TextIO) -> None:
    for name, section in sorted(snapshot.sections.items()):
        count = "%d" % len(section.rows) if section.status == OK else section.status
        out.write("%s (%s)%s\n" % (name, count, ": %s" % section.error if section.error else ""))
        for key in sorted(section.rows):
            shown = ", ".join("%s %s" % (field, _shown(value)) for field, value in sorted(section.rows[key].items()))
            out.write(_plain("  %s  %s\n" % (key, shown)))
    failed = [name for name, section in snapshot.sections.items() if section.status == FAILED]
    out.write("%d sections, %d failed\n" % (len(snapshot.sections), len(failed)))


def _shown(value: Any) -> str:
    return " ".join(_shown(item) for item in value) if isinstance(value, list) else str(value)


def _plain(line: str) -> str:
    """Return a line without control characters: what a host's data holds must not drive the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\\x%02x" % ord(c) for c in line)


def run_audit(options: argparse.Namespace) -> int:
    """Print a signed audit: in answer to a request, or of this host's own accord."""
    request = _read_request(options.request) if options.request else None
    if options.sign_with:
        if request is None:
            raise UsageError("--sign-with needs --request: without an agent the controller says what to sign")
        return _audit_agentless(request, options)
    with state.locked(options.state):
        identity = state.load_identity(options.state)
        history = state.load_history(options.state)
        if request is None:
            request = Request(identity.audience, identity.host_id, "", {}, GENESIS)
        if (request.audience, request.host_id) != (identity.audience, identity.host_id):
            raise UsageError("the request is for another host, or from another controller")
        history = state.acknowledge(history, request.last)
        audit = take(LocalHost(_watched(options.state)), COLLECTORS, identity.host_id, request.install_lock)
        body = audit.body(request.known, kept.load_cache(options.state), request.challenge)
        message, history = state.next_message(identity, history, AUDIT, body)
        state.save_history(options.state, history)
        kept.save_cache(options.state, audit.cache())
        _print(state.seal(message, state.load_key(options.state)))
    return 0


def _audit_agentless(request: Request, options: argparse.Namespace) -> int:
    """Audit a host that keeps nothing: the controller counts for it, and its SSH host key signs."""
    audit = take(LocalHost(), COLLECTORS, request.host_id, request.install_lock)
    body = audit.body(request.known, {}, request.challenge)
    message = Message(request.audience, request.host_id, request.epoch, request.sequence, request.last, AUDIT, body)
    _print(state.seal(message, state.host_key(options.sign_with)))
    return 0


def _read_request(path: str) -> Request:
    if path == "-":
        return decode_request(sys.stdin.buffer.read(REQUEST_LIMIT))
    with open(path, "rb") as file:
        return decode_request(file.read(REQUEST_LIMIT))


def run_enrol(options: argparse.Namespace) -> int:
    """Make this host's key and enrol it.  The same again is safe when the answer was lost."""
    text = sys.stdin.read(4096) if options.source == "-" else _read_token(options.source)
    token = parse_token(text)
    if not options.url and not options.print:
        raise UsageError("say where the controller is: --url https://controller:8470 (or --print)")
    ca_file = os.path.abspath(options.ca) if options.ca else None
    with state.locked(options.state):
        key = _key_to_enrol(options.state, options.replace)
        identity = state.Identity(token.host_id, token.audience, token.epoch, options.url, ca_file)
        body: Dict[str, Any] = {
            "token": str(token),
            "scheme": key.scheme,
            "public_key": key.public_key,
            "host_name": socket.gethostname(),
        }
        message, history = state.next_message(identity, state.History(), ENROL, body)
        envelope = state.seal(message, key)
        if options.watch:
            kept.save_watched(options.state, ["/etc"] + [os.path.abspath(path) for path in options.watch])
        if options.print:
            _print(envelope)
        else:
            answer = post(options.url, "/agent/v1/enrol", envelope, ca_file)
            history = state.acknowledge(history, str(answer.get("accepted", "")))
        state.save_history(options.state, history)
        state.save_identity(options.state, identity)
    if not options.print:
        print("enrolled as %s with key %s" % (identity.host_id, state.key_id(key.public_key)))
    return 0


def _key_to_enrol(directory: str, replace: bool) -> state.Key:
    """Return the key to enrol: a new one, or that of an enrolment whose answer was lost.  Raises UsageError."""
    if os.path.exists(os.path.join(directory, "identity.json")):
        if not replace:
            known = state.load_identity(directory).host_id
            raise UsageError("this host is enrolled as %s\n  To enrol it anew with a new key: --replace" % known)
        for name in ("identity.json", "history.json", "key", "key.pub"):
            if os.path.exists(os.path.join(directory, name)):
                os.unlink(os.path.join(directory, name))
    if os.path.exists(os.path.join(directory, "key")):
        return state.load_key(directory)
    return state.create_key(directory)


def _read_token(path: str) -> str:
    with open(path) as file:
        return file.read(4096)


def run_report(options: argparse.Namespace) -> int:
    """Audit this host and report."""
    reported = report(options.state, LocalHost(_watched(options.state)), COLLECTORS)
    sent = "%d sections sent" % len(reported.sent) if reported.sent else "nothing changed"
    print("reported %s: %s" % (reported.root[:12], sent))
    return 0


def _watched(directory: str) -> Sequence[str]:
    return kept.load_watched(directory) or LocalHost.watched


def _print(envelope: bytes) -> None:
    sys.stdout.buffer.write(envelope + b"\n")
    sys.stdout.buffer.flush()
