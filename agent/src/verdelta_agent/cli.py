"""verdelta-agent: inventory this host, sign what was seen, report it."""

import argparse
import gc
import os
import sys
from typing import IO, Any, Callable, List, Optional, Sequence

from . import __version__, apart
from .collectors import SECTIONS
from .wire import AUDIT, GENESIS, Message, Request, WireError, decode_request, parse_token

# The commands import what they need: each is a process of its own, and imports are half of what it costs.

EPILOG = """\
examples:
  verdelta-agent inventory                      everything this host shows, as tables
  verdelta-agent inventory software.dpkg -o json
  verdelta-agent inventory -o json > before.json; …; verdelta-agent inventory -o json > after.json
  verdelta-agent diff before.json after.json
  verdelta-agent sections software.dpkg         what a row of it is, and what its fields mean
  verdelta-agent enrol --url https://controller:8470 --ca ca.pem < token
  verdelta-agent report                         what the timer runs each night

exit codes: 0 ok, 1 failed, 2 wrong usage
"""

REQUEST_LIMIT = 1 << 20
TOKEN_LIMIT = 4096
SNAPSHOT_LIMIT = 512 << 20


class UsageError(Exception):
    """What was asked for makes no sense; the text says why."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code."""
    return _conclude(parser().parse_args(arguments))


def _conclude(options: argparse.Namespace) -> int:
    try:
        return options.run(options) or 0
    except BrokenPipeError:
        return 1  # whoever read our output has seen enough
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        _complain(str(error))
        return status


def run() -> None:
    """Run as the process that the command line started, and end it."""
    gc.disable()  # in the second that this takes, nothing becomes garbage that has to be looked for
    options = parser().parse_args()
    looks = options.run in (run_inventory, run_sections, run_audit, run_report)
    end = apart.step_aside() if looks and apart.may_fall_silent() else apart.end
    status = 1
    try:
        status = _conclude(options)
    except Exception:  # noqa: BLE001 - one of our own making
        import traceback

        traceback.print_exc()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    end(status)


def _status(error: Exception) -> Optional[int]:
    """Return the exit code for an error whose text a person can use, None for one of our own making."""
    from .enrolling import AlreadyEnrolled
    from .identity import IdentityError
    from .report import ReportError

    if isinstance(error, (UsageError, WireError, AlreadyEnrolled)):
        return 2
    return 1 if isinstance(error, (IdentityError, ReportError, OSError)) else None


def _complain(text: str) -> None:
    from .show import plain

    lines = ("verdelta-agent: %s" % text).split("\n")
    print("\n".join(map(plain, lines)), file=sys.stderr)


def default_state() -> str:
    """Return /var/lib/verdelta-agent for root, the user's own state directory otherwise."""
    places = [os.environ.get("XDG_STATE_HOME", ""), os.path.expanduser("~/.local/state")]
    own = [place for place in places if os.path.isabs(place)]  # of a user without a home, "~" stays as it is
    return os.path.join("/var/lib" if os.geteuid() == 0 or not own else own[0], "verdelta-agent")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal.  argparse would ask for the width by importing a library, whenever it starts."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    try:
        return int(os.environ.get("COLUMNS", "")) or os.get_terminal_size().columns
    except (OSError, ValueError):
        return 80


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    whole = argparse.ArgumentParser("verdelta-agent", description=__doc__, epilog=EPILOG, formatter_class=_Help)
    whole.add_argument("--version", action="version", version="verdelta-agent %s" % __version__)
    whole.add_argument("--state", default=default_state(), help="state directory (default: %(default)s)")
    # With the name given, argparse need not format a usage line to find it, for which it imports half a library.
    commands = whole.add_subparsers(dest="command", metavar="command", prog="verdelta-agent")
    commands.required = True

    def command(name: str, run: Callable[[argparse.Namespace], Optional[int]], help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help[:1].upper() + help[1:], formatter_class=_Help)
        added.set_defaults(run=run)
        return added

    _add_for_people(command)
    _add_for_machines(command)
    return whole


def _add_for_people(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add what a person at a host asks."""
    inventory = command("inventory", run_inventory, "print what this host shows; nothing is kept or sent")
    inventory.add_argument("section", nargs="*", help="only these sections, such as software.dpkg or hardware")
    inventory.add_argument("-o", "--output", choices=("table", "json"), default="table")
    inventory.add_argument(
        "--root", metavar="DIR", help="a system that does not run: an image, a chroot, a mounted disk"
    )

    sections = command("sections", run_sections, "list the sections, and say why one is absent here")
    sections.add_argument(
        "section", nargs="*", help="tell all about these: key, fields, what is never compared and why"
    )
    sections.add_argument(
        "--root", metavar="DIR", help="a system that does not run: an image, a chroot, a mounted disk"
    )

    diff = command("diff", run_diff, "print what differs between two snapshots, saved by inventory -o json")
    diff.add_argument("before", metavar="A", help="the snapshot before; - is standard input")
    diff.add_argument("after", metavar="B", help="the snapshot after; - is standard input")
    diff.add_argument("-o", "--output", choices=("table", "json"), default="table")
    diff.add_argument("--exit-code", action="store_true", help="exit with 1 where anything differs or is unknown")


def _add_for_machines(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add what a controller, a timer or an installation runs."""
    audit = command("audit", run_audit, "print a signed audit of this host, one DSSE envelope")
    audit.add_argument("--request", metavar="FILE", help="what the controller asks for, as JSON; - is standard input")
    audit.add_argument("--sign-with", metavar="KEY", help="an SSH host key, where no agent is installed")

    enrol = command("enrol", run_enrol, "make a key and enrol it with a one-time token")
    enrol.add_argument(
        "--token-file", dest="source", default="-", metavar="FILE", help="file with the token (default: standard input)"
    )
    enrol.add_argument("--url", default="", help="the controller, as in https://controller:8470")
    enrol.add_argument("--ca", metavar="FILE", help="the controller's CA certificate, which is pinned")
    enrol.add_argument("--watch", metavar="PATH", action="append", help="also watch the files below it (beside /etc)")
    enrol.add_argument("--replace", action="store_true", help="drop the identity of an earlier enrolment first")
    enrol.add_argument("--print", action="store_true", help="print the enrolment instead of sending it")

    command("report", run_report, "audit this host and report to the controller, digests first")

    stay = command(
        "run", run_resident, "stay, and report at the pace that the controller sets, instead of by the timer"
    )
    stay.add_argument(
        "--splay", type=_seconds, default=300.0, help="seconds at most before the first report (%(default)g)"
    )

    status = command("status", run_status, "show how this host stands with its controller, and what waits in the spool")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")

    compiler = command(
        "compile", run_compile, "put byte code for this Python into the one-file agent: audits cost less"
    )
    compiler.add_argument("archive", metavar="FILE", help="the verdelta-agent.pyz")


def run_compile(options: argparse.Namespace) -> None:
    """Put byte code into the archive."""
    from .compiled import add_byte_code

    add_byte_code(options.archive)


def run_inventory(options: argparse.Namespace) -> None:
    """Print the sections asked for, as tables or as one JSON document."""
    from . import show
    from .gather import gather
    from .model import document

    snapshot = gather(_host_to_show(options), _chosen(options.section))
    if options.output == "json":
        _print(show.as_json(document(snapshot)))
    else:
        _print("\n".join(show.as_tables(snapshot)) + "\n")


def run_sections(options: argparse.Namespace) -> None:
    """Print what the sections are, and how they are read here."""
    from . import describe

    chosen = _chosen(options.section)
    if options.section:
        _print("\n".join(describe.in_full(source.load()) for source in chosen))
    else:
        _print("\n".join(describe.at_a_glance(_host_to_show(options), chosen)) + "\n")


def run_diff(options: argparse.Namespace) -> int:
    """Print the delta of two saved snapshots."""
    from . import show
    from .delta import compare
    from .model import SchemaError, from_document

    sides = []
    for path in (options.before, options.after):
        try:
            sides.append(from_document(_read(path, SNAPSHOT_LIMIT, path)).sections)
        except SchemaError as error:
            raise UsageError(
                "%s: %s\n  Save one with: verdelta-agent inventory -o json > FILE" % (path, error)
            ) from error
    delta = compare(*sides)
    if options.output == "json":
        _print(show.delta_as_json(delta))
    else:
        _print("\n".join(show.delta_as_lines(delta, _takes_colour(sys.stdout))) + "\n")
    return int(options.exit_code and bool(delta.changes or delta.unknown))


def _takes_colour(stream: Any) -> bool:
    return (
        stream is not None and stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def _host_to_show(options: argparse.Namespace) -> Any:
    """Return this host, or the system below --root.  Raises UsageError."""
    if options.root is None:
        return _this_host(options.state)
    from .rooted_host import RootedHost

    if not os.path.isdir(options.root):
        raise UsageError("--root %s: there is no such directory" % options.root)
    return RootedHost(_absolute(options.root))


def _chosen(names: List[str]) -> Sequence[Any]:
    """Return the sections named, exactly or by their first part.  Raises UsageError."""
    for name in names:
        if not any(_is_in(entry.name, name) for entry in SECTIONS):
            import difflib

            near = difflib.get_close_matches(name, [entry.name for entry in SECTIONS], 1, 0.4)
            raise UsageError("there is no section %r%s" % (name, "; did you mean %s?" % near[0] if near else ""))
    return [entry for entry in SECTIONS if not names or any(_is_in(entry.name, name) for name in names)]


def _is_in(section: str, name: str) -> bool:
    return section == name or section.startswith(name + ".")


def run_audit(options: argparse.Namespace) -> None:
    """Print a signed audit: in answer to a request, or of this host's own accord."""
    request = None
    if options.request:
        request = decode_request(_read(options.request, REQUEST_LIMIT, "the request"))
    if not options.sign_with:
        _audit_installed(request, options.state)
    elif request is None:
        raise UsageError("--sign-with needs --request: without an agent the controller says what to sign")
    else:
        _audit_agentless(request, options.sign_with)


def _audit_installed(request: Optional[Request], directory: str) -> None:
    """Audit a host with an identity of its own."""
    from . import identity as state
    from . import kept
    from .audit import take

    state.load_identity(directory)  # where nobody enrolled, nothing is made, not even a lock
    with state.locked(directory):
        identity = state.load_identity(directory)
        history = state.load_history(directory)
        if request is None:
            request = Request(identity.audience, identity.host_id, "", {}, GENESIS)
        if (request.audience, request.host_id) != (identity.audience, identity.host_id):
            raise UsageError("the request is for another host, or from another controller")
        history = state.acknowledge(history, request.last)
        host = _this_host(directory)
        memory = kept.load_memory(directory, host)
        audit = take(host, SECTIONS, identity.host_id, request.install_lock, memory)
        body = audit.body(request.known, lambda: kept.load_cache(directory), request.challenge)
        message, history = state.next_message(identity, history, AUDIT, body)
        state.save_history(directory, history)
        kept.save_cache(directory, audit.root, lambda: audit.cache(lambda: kept.load_cache(directory)))
        kept.save_memory(directory, memory, host)
        _print_envelope(state.seal(message, state.load_key(directory)))


def _audit_agentless(request: Request, key_file: str) -> None:
    """Audit a host that keeps nothing: the controller counts for it, and its SSH host key signs."""
    from . import identity as state
    from .audit import take
    from .host import LocalHost

    key = state.host_key(key_file)
    audit = take(LocalHost(), SECTIONS, request.host_id, request.install_lock)
    body = audit.body(request.known, dict, request.challenge)
    message = Message(request.audience, request.host_id, request.epoch, request.sequence, request.last, AUDIT, body)
    _print_envelope(state.seal(message, key))


def run_enrol(options: argparse.Namespace) -> None:
    """Make this host's key and enrol it.  The same again is safe when the answer was lost."""
    from . import kept
    from .enrolling import enrol
    from .report import ReportError, parse_url, post

    token = parse_token(_read(options.source, TOKEN_LIMIT, "the token").decode("ascii", "replace"))
    ca_file = os.path.abspath(options.ca) if options.ca else None
    try:
        if options.url:
            parse_url(options.url)
        elif not options.print:
            raise UsageError("say where the controller is: --url https://controller:8470 (or --print)")
    except ReportError as error:
        raise UsageError(str(error)) from error

    def send(envelope: bytes) -> str:
        if options.watch:
            kept.save_watched(options.state, ["/etc"] + [_absolute(path) for path in options.watch])
        if not options.print:
            return post(options.url, "/agent/v1/enrol", envelope, ca_file).accepted
        _print_envelope(envelope)
        return ""

    enrolled = enrol(options.state, token, options.url, ca_file, options.replace, send)
    if not options.print:
        _print("enrolled as %s with key %s\n" % enrolled)


def run_report(options: argparse.Namespace) -> None:
    """Audit this host and report."""
    from .report import report

    _print(_as_line(report(options.state, _this_host(options.state), SECTIONS)))


def _as_line(reported: Any) -> str:
    sent = "%d sections sent" % len(reported.sent) if reported.sent else "nothing changed"
    return "reported %s: %s\n" % (reported.root[:12], sent)


def run_resident(options: argparse.Namespace) -> None:
    """Report again and again."""
    from . import identity
    from .resident import stay

    identity.load_identity(options.state)  # who cannot report at all is told so at once
    stay(lambda: _next_poll(options), options.splay)


def _next_poll(options: argparse.Namespace) -> Optional[int]:
    """Report, and say in how many seconds the controller wants the next one; None where it was not reached."""
    from .report import report

    try:
        reported = report(options.state, _this_host(options.state), SECTIONS)
        _print(_as_line(reported))
        return reported.next_poll
    except Exception as error:
        if _status(error) is None:
            raise
        _complain(str(error))
        return None


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError("expected seconds from 0 to 86400, not %s" % text)
    return value


def run_status(options: argparse.Namespace) -> None:
    """Print how this host stands with its controller."""
    from .standing import as_lines, standing

    found = standing(options.state)
    if options.output == "json":
        import json

        _print(json.dumps(found, indent=1) + "\n")
    else:
        _print("\n".join(as_lines(found)) + "\n")


def _this_host(directory: str) -> Any:
    from . import kept
    from .host import LocalHost

    return LocalHost(kept.load_watched(directory) or LocalHost.watched)


def _absolute(path: str) -> str:
    """Return a path of the command line as the inventory has it: in UTF-8, whatever the locale."""
    return os.path.abspath(os.fsencode(path)).decode("utf-8", "surrogateescape")


# -- input and output, in bytes: the agent's words do not depend on the locale


def _read(path: str, limit: int, what: str) -> bytes:
    """Return a small file, or with - standard input.  Raises UsageError when it is larger."""
    if path == "-":
        content = _stream(sys.stdin, "input").read(limit + 1)
    else:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    if len(content) > limit:
        raise UsageError("%s is larger than %d bytes" % (what, limit))
    return content


def _print_envelope(envelope: bytes) -> None:
    _write(envelope + b"\n")


def _print(text: str) -> None:
    _write(text.encode(sys.stdout.encoding or "ascii", "backslashreplace") if sys.stdout else b"")


def _write(data: bytes) -> None:
    out = _stream(sys.stdout, "output")
    try:
        out.write(data)
        out.flush()
    except OSError:
        # What could not be written must not be tried again, and complained about again, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        raise


def _stream(stream: Any, name: str) -> IO[bytes]:
    if stream is None:  # closed by whoever started us
        raise OSError("standard %s is closed" % name)
    buffer: IO[bytes] = stream.buffer
    return buffer
