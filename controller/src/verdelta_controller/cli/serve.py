"""verdelta serve: the controller itself, on a socket that was bound before anything else was done."""

import errno
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from .. import __version__
from ..foundation.errors import InvalidInput, VerdeltaError
from .command import Command
from .local import is_loopback_address, own_url, state_option

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..foundation.settings import Settings
    from ..wiring import Services

GOING_ON = ("running", "backing_out")
LAST_REQUESTS = 3  # seconds that requests under way get when the controller is told to end


@click.command(
    cls=Command,
    examples="""
    verdelta serve
    verdelta serve --port 0
    verdelta serve --listen 0.0.0.0 --url https://deploy.example.org:8470
    """,
)
@state_option
@click.option("--listen", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1; env VERDELTA_LISTEN]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.  [default: 8470; env VERDELTA_PORT]",
)
@click.option("--url", help="How agents reach this controller; without it they only answer.  [env VERDELTA_URL]")
@click.option(
    "--forks", type=click.IntRange(1, 200), help="Hosts worked on at the same time.  [default: 10; env VERDELTA_FORKS]"
)
def serve(**given: Any) -> None:
    """Run the controller: the API, the agents' door and the pages.

    On loopback it speaks plain HTTP; on any other address HTTPS, with a certificate of its own CA (STATE/ca.pem).
    Ctrl-C and SIGTERM end it; what was under way on hosts is carried on at the next start.
    """
    from ..foundation.settings import load_settings

    settings = load_settings(**given)
    check_initialised(settings)
    bound = bind(settings.listen, settings.port)
    try:
        _run(settings, bound)
    finally:
        bound.close()


def check_initialised(settings: "Settings") -> None:
    """Raise InvalidInput where there is no controller's state."""
    if not (settings.state / "signing.key").exists():
        raise InvalidInput(f"{settings.state} has no controller in it", mend=f"verdelta init --state {settings.state}")


def bind(address: str, port: int) -> socket.socket:
    """Return a socket that has the address and port, and does not listen yet.  Raises InvalidInput, with the mend."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"{address!r} is no address to listen on: {error}", mend="--listen 127.0.0.1") from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(where)
        bound.listen(1)  # whoever else asks for this port is refused from now on
    except OSError as error:
        bound.close()
        raise _unbound(error, address, port) from error
    return bound


def _unbound(error: OSError, address: str, port: int) -> InvalidInput:
    """Return why a port cannot be had, and the mend."""
    if error.errno == errno.EADDRINUSE:
        return InvalidInput(
            f"port {port} on {address} is in use",
            mend=f"Take another: verdelta serve --port {port % 65535 + 1}; or see who has it: ss -ltnp sport = :{port}",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidInput(f"this machine has no address {address}", mend="See which it has: ip -brief address")
    if error.errno == errno.EACCES:
        return InvalidInput(f"port {port} is for root alone", mend="Take one above 1023: --port")
    return InvalidInput(f"port {port} on {address}: {error.strerror}", mend="Take another: --port")


def _run(settings: "Settings", bound: socket.socket) -> None:
    import uvicorn

    from ..app import create_app
    from ..wiring import build
    from . import logs

    logs.configure()
    services = build(settings)
    app = create_app(services)
    life = _Life(app, services)
    configuration = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=LAST_REQUESTS,
        **_tls(settings),
    )
    url = own_url(settings, bound.getsockname()[1])
    server = _server(configuration, f"Verdelta {__version__} is up at {url} with its state in {settings.state}")
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again after a clean end: that ends us cleanly
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    try:
        server.run(sockets=[bound])
    except SystemExit:
        if life.failure is None:
            raise
        raise life.failure from None


def _server(configuration: Any, announcement: str) -> Any:
    """Return a server that says when it is up."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                click.echo(announcement)

    return Server(configuration)


def _tls(settings: "Settings") -> dict[str, Any]:
    """Return what uvicorn needs to speak TLS, which it does everywhere but on loopback."""
    if is_loopback_address(settings.listen):
        return {}
    from ..foundation import certificates

    host = urlsplit(settings.url).hostname
    names = [*certificates.names_for(settings.listen), *([host] if host else [])]
    certificate, key = certificates.ensure_server(settings.state, names)
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


class _Life:
    """The beginning and the end of the application.

    A failure at the beginning is remembered, so that it is said in one line instead of a traceback.  At the end,
    while a roll-out is under way, the process leaves at once, as if it were killed: the engine would wait for the
    installer, or take the roll-out for failed.  The next start audits what was left, and carries it on.
    """

    def __init__(self, app: "FastAPI", services: "Services") -> None:
        self.failure: VerdeltaError | None = None
        self._services = services
        self._begin = app.router.lifespan_context
        app.router.lifespan_context = self._lifespan
        logging.getLogger("uvicorn.error").addFilter(self._is_news)

    @asynccontextmanager
    async def _lifespan(self, app: "FastAPI") -> AsyncIterator[Any]:
        try:
            async with self._begin(app) as state:
                yield state
                self._leave()
        except VerdeltaError as error:
            self.failure = error
            raise

    def _is_news(self, record: logging.LogRecord) -> bool:
        """Whoever watches is cut off when the controller ends, which is no error."""
        return self.failure is None and not str(record.msg).startswith("Cancel %s running task")

    def _leave(self) -> None:
        going_on = [one["id"] for one in self._services.rollouts.summaries() if one["state"] in GOING_ON]
        if going_on:
            import structlog

            log = structlog.get_logger()
            log.warning("left while roll-outs are under way; the next start carries them on", rollouts=going_on)
            os._exit(0)
