"""The durable engine: what runs through it is carried on after the controller was killed, from its last step.

The port is `Engine`; behind it is DBOS, on SQLite in the embedded default.  Steps are at-least-once: each of them is
written so that running it again is safe.  See docs/adr/0005-durable-execution.md.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy import create_engine, event

from ..foundation.errors import Unavailable

APPLICATION_VERSION = "1"  # of the workflows; a change of their steps is made with DBOS.patch()

Step = Callable[[int, int], str]

HELD_UP = "held_up"  # what a step says that could not do its work: nothing goes on until a person asks for it


class Work(Protocol):
    """The steps of a roll-out, each safe to run again.  Arguments: the roll-out, the wave.  Result: what to do next."""

    def clear(self) -> None:
        """End what an earlier controller left running on this machine, before anything is carried on."""

    def waves(self, rollout: int) -> list[int]:
        """Return the numbers of the waves that have not passed, in order."""

    def steps(self) -> Mapping[str, Step]:
        """Return the steps of a wave by name, in order.  The last one returns "passed" to go on to the next wave."""

    def back_out(self, rollout: int) -> None:
        """Take the hosts of a roll-out that were asked for back to what they were."""


class Engine(Protocol):
    """Runs roll-outs durably."""

    def launch(self) -> None:
        """Start, and carry on what was interrupted."""

    def start(self, kind: str, rollout: int, run: int) -> None:
        """Begin a run (`deploy` or `back_out`) of a roll-out; the same run is never begun twice."""

    def has_ended(self, kind: str, rollout: int, run: int) -> bool:
        """Return whether a run was begun and will not be carried on, however it ended."""

    def close(self) -> None:
        """Stop taking on work."""


class DbosEngine:
    """The engine on DBOS.  One process at a time opens its SQLite file: a second one is refused."""

    def __init__(self, state: Path, work: Work) -> None:
        self._path = state / "engine.sqlite"
        self._lock_path = state / "engine.lock"
        self._lock: int | None = None
        self._work = work

    def launch(self) -> None:
        """Take the lock, start DBOS, and let it carry on.  Raises Unavailable when another process has the lock."""
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            self._lock = None
            raise Unavailable(
                f"another controller runs on {self._lock_path.parent}",
                mend="Stop it, or give this one another --state.",
            ) from error
        self._work.clear()
        url = f"sqlite:///{self._path}"
        engine = create_engine(url, connect_args={"timeout": 30})
        event.listen(engine, "connect", _prepare)
        configuration = DBOSConfig(
            name="verdelta",
            system_database_url=url,
            system_database_engine=engine,
            serializer=DBOSPortableJSONSerializer(),
            application_version=APPLICATION_VERSION,
            executor_id="embedded",
            log_level="ERROR",
        )
        DBOS(config=configuration)
        _register(self._work)
        DBOS.launch()

    def start(self, kind: str, rollout: int, run: int) -> None:
        """Begin a run of a roll-out, unless it has begun already."""
        name = f"{kind}-{rollout}-{run}"
        if DBOS.get_workflow_status(name) is None:
            with SetWorkflowID(name):
                DBOS.start_workflow(_WORKFLOWS[kind], rollout)

    def has_ended(self, kind: str, rollout: int, run: int) -> bool:
        """Return whether a run was begun and will not be carried on, however it ended."""
        found = DBOS.get_workflow_status(f"{kind}-{rollout}-{run}")
        return found is not None and found.status not in ("PENDING", "ENQUEUED", "DELAYED")

    def close(self) -> None:
        """Let DBOS go.  What was under way is carried on at the next launch."""
        DBOS.destroy(workflow_completion_timeout_sec=0)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


_WORKFLOWS: dict[str, Callable[[int], object]] = {}


def _prepare(connection: object, record: object) -> None:
    connection.isolation_level = "IMMEDIATE"  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]


def _register(work: Work) -> None:
    """Make the workflows known to DBOS, which finds them by name when it carries on."""

    @DBOS.step(name="waves")
    async def waves(rollout: int) -> list[int]:
        return await asyncio.to_thread(work.waves, rollout)

    @DBOS.step(name="step")
    async def step(name: str, rollout: int, wave: int) -> str:
        return await asyncio.to_thread(work.steps()[name], rollout, wave)

    @DBOS.workflow(name="deploy", max_recovery_attempts=None)
    async def deploy(rollout: int) -> str:
        for wave in await waves(rollout):
            result = ""
            for name in work.steps():
                result = await step(name, rollout, wave)
                if result == HELD_UP:
                    return result
            if result != "passed":
                return result
        return "passed"

    @DBOS.step(name="back_out_step")
    async def back_out_step(rollout: int) -> None:
        await asyncio.to_thread(work.back_out, rollout)

    @DBOS.workflow(name="back_out", max_recovery_attempts=None)
    async def back_out(rollout: int) -> str:
        await back_out_step(rollout)
        return "backed_out"

    _WORKFLOWS.update(deploy=deploy, back_out=back_out)
