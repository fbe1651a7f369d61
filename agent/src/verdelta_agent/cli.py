"""The commands of verdelta-agent, and how each of them ends.  Their arguments are in arguments.py."""

import gc
import os
import sys
from types import SimpleNamespace
from typing import IO, Any, Callable, List, Mapping, Optional, Sequence, Tuple

from . import apart
from .collectors import SECTIONS
from .wire import AUDIT, GENESIS, Message, Request, WireError, decode_request, encode_message, parse_token

# The commands import what they need: each is a process of its own, and imports are half of what it costs.

REQUEST_LIMIT = 1 << 20
TOKEN_LIMIT = 4096
SNAPSHOT_LIMIT = 512 << 20

# What the timer and the controller run each night, on each host, as the parser understands it (a test holds this
# against it): to import and build one takes as long as to read half of /etc.
BY_MACHINES: Mapping[Tuple[str, ...], Mapping[str, Any]] = {
    ("report",): {"command": "report"},
    ("audit",): {"command": "audit", "request": None, "sign_with": None},
    ("audit", "--request", "-"): {"command": "audit", "request": "-", "sign_with": None},
}


class UsageError(Exception):
    """What was asked for makes no sense; the text says why."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code."""
    return _conclude(_understand(sys.argv[1:] if arguments is None else arguments))


def _conclude(options: Any) -> int:
    try:
        return COMMANDS[options.command](options) or 0
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
    options = _understand(sys.argv[1:])
    looks = options.command in ("inventory", "sections", "audit", "report")
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


def _understand(words: Sequence[str]) -> Any:
    """Return the options that a command line means, or end the process with help or a complaint."""
    has_state = words[:1] == ["--state"] and not "".join(words[1:2]).startswith("-")
    plain = BY_MACHINES.get(tuple(words[2:] if has_state else words))
    if plain is not None:
        return SimpleNamespace(state=words[1] if has_state else default_state(), **plain)
    from . import arguments

    return arguments.parse(words, default_state())


def run_compile(options: Any) -> None:
    """Put byte code into the archive."""
    from .compiled import add_byte_code

    add_byte_code(options.archive)


def run_inventory(options: Any) -> None:
    """Print the sections asked for, as tables or as one JSON document."""
    from . import show
    from .gather import gather
    from .model import document

    snapshot = gather(_host_to_show(options), _chosen(options.section))
    if options.output == "json":
        _print(show.as_json(document(snapshot)))
    else:
        _print("\n".join(show.as_tables(snapshot)) + "\n")


def run_sections(options: Any) -> None:
    """Print what the sections are, and how they are read here."""
    from . import describe

    chosen = _chosen(options.section)
    if options.section:
        _print("\n".join(describe.in_full(source.load()) for source in chosen))
    else:
        _print("\n".join(describe.at_a_glance(_host_to_show(options), chosen)) + "\n")


def run_diff(options: Any) -> int:
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


def _host_to_show(options: Any) -> Any:
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


def run_audit(options: Any) -> None:
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
        payload, history = state.next_message(identity, history, AUDIT, body)
        state.save_history(directory, history)
        kept.save_cache(directory, audit.root, lambda: audit.cache(lambda: kept.load_cache(directory)))
        kept.save_memory(directory, memory, host)
        _print_envelope(state.seal(payload, state.load_key(directory)))


def _audit_agentless(request: Request, key_file: str) -> None:
    """Audit a host that keeps nothing: the controller counts for it, and its SSH host key signs."""
    from . import identity as state
    from .audit import take
    from .host import LocalHost

    key = state.host_key(key_file)
    audit = take(LocalHost(), SECTIONS, request.host_id, request.install_lock)
    body = audit.body(request.known, dict, request.challenge)
    message = Message(request.audience, request.host_id, request.epoch, request.sequence, request.last, AUDIT, body)
    _print_envelope(state.seal(encode_message(message), key))


def run_enrol(options: Any) -> None:
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


def run_report(options: Any) -> None:
    """Audit this host and report."""
    from .report import report

    _print(_as_line(report(options.state, _this_host(options.state), SECTIONS)))


def _as_line(reported: Any) -> str:
    sent = "%d sections sent" % len(reported.sent) if reported.sent else "nothing changed"
    return "reported %s: %s\n" % (reported.root[:12], sent)


def run_resident(options: Any) -> None:
    """Report again and again."""
    from . import identity
    from .resident import stay

    identity.load_identity(options.state)  # who cannot report at all is told so at once
    stay(lambda: _next_poll(options), options.splay)


def _next_poll(options: Any) -> Optional[int]:
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


def run_status(options: Any) -> None:
    """Print how this host stands with its controller."""
    from .standing import as_lines, standing

    found = standing(options.state)
    if options.output == "json":
        import json

        _print(json.dumps(found, indent=1) + "\n")
    else:
        _print("\n".join(as_lines(found)) + "\n")


COMMANDS: Mapping[str, Callable[[Any], Optional[int]]] = {
    "inventory": run_inventory,
    "sections": run_sections,
    "diff": run_diff,
    "audit": run_audit,
    "enrol": run_enrol,
    "report": run_report,
    "run": run_resident,
    "status": run_status,
    "compile": run_compile,
}


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
