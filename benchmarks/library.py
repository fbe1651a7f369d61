"""The library with 10,000 releases and 20,000 artifacts: lists, one artifact with all that is known of it, hashing.

python -m benchmarks.library
"""

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import insert
from sqlmodel import SQLModel
from tests.support.web import a_controller

from verdelta_controller.foundation.clock import now
from verdelta_controller.library.tables import Artifact
from verdelta_controller.wiring import Services

RELEASES, FILES = 10_000, 20  # releases, and files of each


def run() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder, a_controller(Path(folder)) as services:
        digests = fill(services)
        show("show an artifact", lambda: services.tracing.trace(digests[FILES * 5000]))
        show("list 1,000 artifacts", lambda: services.library.artifacts())
        show("find artifacts by name", lambda: services.library.artifacts("file-19999"))
        services.retention.retire("app-7", "1.0", "old", "bench")
        show("look whether one may be deployed", lambda: services.library._check_deployable(first(services, digests)))
        data = os.urandom(1 << 20) * 256
        (Path(folder) / "large").write_bytes(data)
        begun = time.perf_counter()
        with (Path(folder) / "large").open("rb") as stream:
            services.library._store.add(stream)
        print(f"bring in 256 MiB: {256 / (time.perf_counter() - begun):.0f} MiB/s", end=", ")
        begun = time.perf_counter()
        hashlib.sha256(data).hexdigest()
        print(f"SHA-256 alone {256 / (time.perf_counter() - begun):.0f} MiB/s")


def fill(services: Services) -> list[str]:
    """Write releases and artifacts into the tables; each release shares half of its files with the one before."""
    tables = SQLModel.metadata.tables
    count = RELEASES * FILES // 2 + FILES
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    artifacts = [
        {"digest": d, "size": 1000, "file_name": f"file-{n}.bin", "added_at": now(), "added_by": "ci"}
        for n, d in enumerate(digests)
    ]
    releases = [
        {
            "id": number + 1,
            "name": f"app-{number}",
            "version": "1.0",
            "type": "minor",
            "service": "lab",
            "state": "built",
            "policy_number": 1,
            "digest": digests[number],
            "passed": ["built"],
            "drafted_at": now(),
            "drafted_by": "ci",
            "authorised_changes": [],
        }
        for number in range(RELEASES)
    ]
    packages = [
        {
            "digest": digests[number],
            "release_id": number + 1,
            "manifest": {},
            "source": "",
            "files": {f"f{at}": digests[number * FILES // 2 + at] for at in range(FILES)},
            "built_at": now(),
            "built_by": "ci",
        }
        for number in range(RELEASES)
    ]
    with services.database.transaction() as session:
        session.execute(insert(tables["artifact"]), artifacts)
        session.execute(insert(tables["release"]), releases)
        session.execute(insert(tables["release_package"]), packages)
    return digests


def first(services: Services, digests: list[str]) -> Artifact:
    """Return an artifact of the retired release."""
    return services.library.artifact(digests[7 * FILES // 2])


def show(what: str, action: Callable[[], object]) -> None:
    """Print how long something takes: the median of nine times."""
    times = []
    for _ in range(9):
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    print(f"{what}: {statistics.median(times) * 1000:.1f} ms")


if __name__ == "__main__":
    run()
