"""People at the command line of a real controller: each with a password, an app, and a client profile of their own."""

import subprocess
import time
from pathlib import Path

import pyotp

from .controller import COMMAND, Controller

PASSWORD = "a sentence that nobody else would take"
STEP = 30  # seconds that a code is for


class Person:
    """Somebody who was added by the administrator, and joined with the invitation."""

    def __init__(self, controller: Controller, name: str, *roles: str) -> None:
        self.controller = controller
        self.name = name
        self.folder = controller.folder / name
        self.folder.mkdir()
        self.profile = self.folder / "client.json"
        self._spent = 0
        chosen = [word for role in roles for word in ("--role", role)]
        controller.run("person", "add", name, "--full-name", name.title(), *chosen)
        self._file("invitation", controller.run("person", "invite", name, "--yes").stdout)
        self._file("password", PASSWORD)
        self._join()
        self.run("login", name, "--password-file", str(self.folder / "password"), "--code-file", self._code())

    def _join(self) -> None:
        """Set a password and a second step: the secret is printed, and a code of it is asked for."""
        words = ["person", "join", "--invitation-file", str(self.folder / "invitation")]
        words += ["--password-file", str(self.folder / "password"), "--code-file", "-"]
        joining = self.controller.popen(
            [*self._environment(), *COMMAND, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert joining.stdin is not None and joining.stdout is not None
        said = ""
        while "otpauth://" not in said:
            line = joining.stdout.readline()
            assert line, said
            said += line
        address = next(word for word in said.split() if word.startswith("otpauth://"))
        app = pyotp.parse_uri(address)
        assert isinstance(app, pyotp.TOTP)
        self.app = app
        rest, _ = joining.communicate(self._next() + "\n", timeout=60)
        assert joining.returncode == 0, said + rest

    def run(self, *arguments: str, expect: int = 0, data: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run `verdelta …` as this person."""
        done = self.controller.run_with(self._environment(), *arguments, data=data)
        said = f"{self.name}: verdelta {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == expect, f"{said}\n{self.controller.log()[-1500:] if expect == 0 else ''}"
        return done

    def sign(self, name: str, version: str, purpose: str, expect: int = 0) -> str:
        """Sign a release with the next code; returns what was said."""
        done = self.run("release", "sign", name, version, purpose, "--code-file", self._code(), expect=expect)
        return done.stdout + done.stderr

    def _environment(self) -> list[str]:
        return [*self.controller.environment_for(self.profile), f"VERDELTA_CA={self.controller.state / 'ca.pem'}"]

    def _code(self) -> str:
        """Return a file with the next code."""
        return str(self._file("code", self._next()))

    def _next(self) -> str:
        """Return a code that was not given before: it may be the one of the next half minute, and is waited for."""
        now = int(time.time()) // STEP
        self._spent = max(self._spent + 1, now)
        while self._spent > int(time.time()) // STEP + 1:
            time.sleep(0.5)
        return self.app.at(self._spent * STEP)

    def _file(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content)
        path.chmod(0o600)
        return path
