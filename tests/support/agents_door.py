"""A real agent as a process, and a controller's door for it: a real server on loopback that answers as a test says."""

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import verdelta_agent
from verdelta_agent import identity, kept, wire
from verdelta_controller.foundation.errors import VerdeltaError
from verdelta_controller.wiring import Services

# The agent's own command line, with few sections: of the whole machine, something may change while a test runs.
LAUNCHER = """
import sys
sys.path.insert(0, {sources!r})
from verdelta_agent import cli
cli.SECTIONS = tuple(c for c in cli.SECTIONS if c.name in ("system.host", "system.files"))
sys.exit(cli.main())
"""


class Reply(NamedTuple):
    """What the door answers.  Without a status the connection is closed, as if the answer were lost on its way."""

    status: int | None
    content: bytes = b""
    headers: Mapping[str, str] = {}


Answer = Callable[[str, bytes], Reply]  # the path and the body of a request -> what is answered


def reply(**fields: Any) -> Reply:
    """Return an answer as the controller gives it."""
    return Reply(200, json.dumps(fields).encode())


def accepting(**fields: Any) -> Answer:
    """Return the answers of a controller that accepts every message."""
    return lambda path, data: reply(accepted=wire.decode_envelope(data).digest, **fields)


def real(services: Services) -> Answer:
    """Return the answers of a real controller."""

    def answer(path: str, data: bytes) -> Reply:
        try:
            if path == "/agent/v1/enrol":
                return reply(accepted=services.fleet.enrol(data).last_digest)
            taken = services.inventory.take_in(data)
            return reply(accepted=taken.digest, unknown=taken.unknown, known=taken.known, next_poll=60)
        except VerdeltaError as error:
            return Reply(error.http_status, json.dumps({"error": error.message, "mend": error.mend}).encode())

    return answer


class Door:
    """A server that keeps what it was sent."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.paths: list[str] = []
        self.sent: list[bytes] = []
        self.url = ""

    @property
    def messages(self) -> list[wire.Message]:
        """Return the messages that came, in their order."""
        return [wire.decode_message(wire.decode_envelope(data).payload) for data in self.sent]

    def take(self, path: str, data: bytes) -> Reply:
        """Keep a request and return its answer."""
        self.paths.append(path)
        self.sent.append(data)
        return self.answer(path, data)


@contextmanager
def open_door(answer: Answer, certificate: tuple[Path, Path] | None = None, name: str = "127.0.0.1") -> Iterator[Door]:
    """Serve on a free port of loopback, with TLS when there is a certificate and its key."""
    door = Door(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answered = door.take(self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.close_connection = True
            if answered.status is None:
                return
            self.send_response(answered.status)
            headers = {"Content-Length": str(len(answered.content)), "Connection": "close", **answered.headers}
            for header, value in headers.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(answered.content)

        def log_message(self, *arguments: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """An agent that went away, or did not trust us, is what many tests are about."""

        def get_request(self) -> Any:
            connection, address = super().get_request()
            return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    context: Any = _Plain()
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    server = Server(("127.0.0.1", 0), Handler)
    door.url = f"{'https' if certificate else 'http'}://{name}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Plain:
    def wrap_socket(self, connection: Any, **options: Any) -> Any:
        return connection


class AgentProcess:
    """One host's agent: its state directory, a folder that it watches, and its command line."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "agent"
        self.watched = directory / "watched"
        self.watched.mkdir(parents=True)
        (self.watched / "motd").write_text("hello\n")
        launcher = directory / "agent.py"
        launcher.write_text(LAUNCHER.format(sources=str(Path(verdelta_agent.__file__).parents[1])))
        self.command = [sys.executable, "-ISE", str(launcher), "--state", str(self.state)]

    def run(self, *arguments: str, data: bytes = b"", **options: Any) -> "subprocess.CompletedProcess[bytes]":
        """Run one command to its end."""
        given: dict[str, Any] = {"input": data, "capture_output": True, "timeout": 120, "check": False, **options}
        return subprocess.run([*self.command, *arguments], **given)

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Start a command, without a token or a request."""
        return subprocess.Popen([*self.command, *arguments], stdin=subprocess.DEVNULL, **options)

    def enrolled(self, url: str, ca_file: Path | None = None) -> None:
        """Make this host one that enrolled before, without asking anybody."""
        identity.create_key(str(self.state))
        identity.save_history(str(self.state), identity.History())
        me = identity.Identity("host-1", "audience-1", 1, url, None if ca_file is None else str(ca_file))
        identity.save_identity(str(self.state), me)
        self.watch_folder()

    def watch_folder(self) -> None:
        """Watch this host's own folder, and nothing of the machine's."""
        identity.make_directory(str(self.state))
        kept.save_watched(str(self.state), [str(self.watched)])

    def history(self) -> identity.History:
        """Return where the host stands."""
        return identity.load_history(str(self.state))


def said(done: "subprocess.CompletedProcess[bytes]") -> str:
    """Return what a run that failed said, which has to be short and without a traceback."""
    text = done.stderr.decode()
    assert "Traceback" not in text, text
    assert text.startswith(("verdelta-agent: ", "usage: ")), text
    assert text.count("\n") <= 3 or text.startswith("usage: "), text
    return text
