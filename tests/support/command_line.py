"""The `verdelta` command as tests call it: in this process, with a controller in this process or an answer by hand."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner, Result

from verdelta_controller.cli.main import root

URL = "http://127.0.0.1:8470"

Answer = tuple[int, Any]


class CommandLine:
    """Runs commands that ask the controller behind a transport, as the holder of a token."""

    def __init__(self, folder: Path, transport: httpx.BaseTransport | None = None, token: str = "vdt_x") -> None:  # noqa: S107 - no token of anything
        self.folder = folder
        self.transport = transport
        self.environment = {
            "XDG_CONFIG_HOME": str(folder / "config"),
            "VERDELTA_STATE": str(folder / "state"),
            "VERDELTA_URL": URL,
            "VERDELTA_TOKEN": token,
            "VERDELTA_CA": "",
            "VERDELTA_PROFILE": "",
            "COLUMNS": "100",
            "NO_COLOR": "1",
        }

    def __call__(self, *arguments: object, data: str | None = None) -> Result:
        """Run `verdelta …`; an exception that is no exit is a failure of the test."""
        words = [str(argument) for argument in arguments]
        result = CliRunner().invoke(
            root, words, input=data, env=self.environment, obj=self.transport, prog_name="verdelta"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def json(self, *arguments: object) -> Any:
        """Return what a command prints with -o json; nothing else may stand on standard output."""
        return json.loads(self(*arguments, "-o", "json").stdout)


class InProcess(httpx.BaseTransport):
    """Hands requests to a client that speaks to an application in this process; streams arrive as a whole."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        answer = self._client.send(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class ByHand(httpx.BaseTransport):
    """Answers from a table {"GET hosts": (200, document)}, and remembers what it was asked."""

    def __init__(self, answers: Mapping[str, Answer | Callable[[httpx.Request], Answer]]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []
        self.sent: list[Any] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request; 404 for what is not in the table."""
        what = f"{request.method} {request.url.path.removeprefix('/api/v1/')}"
        body = request.read()
        self.asked.append(what)
        self.sent.append(json.loads(body) if body else None)
        nothing = (404, {"error": f"nothing by hand for {what}", "mend": None, "exit_code": 2})
        answer = self.answers.get(what, nothing)
        status, document = answer(request) if callable(answer) else answer
        if isinstance(document, str):
            return httpx.Response(status, text=document)
        return httpx.Response(status, json=document)
