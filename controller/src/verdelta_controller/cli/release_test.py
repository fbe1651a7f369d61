"""verdelta release …: rehearse it, hold it against its criteria, and review what it was observed to change."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from rich.console import Group as Together
from rich.console import RenderableType
from rich.text import Text

from ..foundation.errors import InvalidInput
from ..releases import located_yaml
from ..releases.expectations import Expectation, said
from . import profile, render, signs
from .command import Command, connected
from .render import Column, listing
from .rollout import follow, watching
from .session import Session, confirm, path_of
from .text import amount, plain

FILE_LIMIT = 32 << 20


@click.command(
    cls=Command,
    examples="""
    verdelta release test labapp 1.1 --environment test --watch
    verdelta release test labapp 1.1 --host test-01 --host test-02
    """,
)
@click.argument("name")
@click.argument("version")
@click.option("--host", "hosts", multiple=True, help="A test host; may be given several times.")
@click.option("--group", default="", help="The hosts of this group.")
@click.option("--environment", default="", help="The hosts of this environment.")
@watching
@connected
def test(
    session: Session,
    name: str,
    version: str,
    hosts: tuple[str, ...],
    group: str,
    environment: str,
    watched: bool,
    timeout: float | None,
) -> int:
    """Rehearse a release on test hosts.

    It is the same roll-out as later, with the same audits. Each host is audited, installed on, audited again, and the
    criteria of the package are tried on it. What was observed to change is then reviewed: verdelta release rehearsed
    NAME VERSION
    """
    if not (hosts or group or environment):
        raise InvalidInput("a rehearsal needs at least one host", mend="Name a --host, a --group or an --environment.")
    order = {"hosts": list(hosts), "group": group, "environment": environment}
    view = session.api.post(path_of("releases", name, version, "rehearsals"), order)
    return follow(session, view, watched, timeout)


@click.command(cls=Command, examples="verdelta release criteria labapp 1.1")
@click.argument("name")
@click.argument("version")
@connected
def criteria(session: Session, name: str, version: str) -> int:
    """Show what a release will be accepted by, and how that came out.  Exit code 3 while a criterion is open."""
    found = session.api.get(path_of("releases", name, version, "criteria"))
    session.show(found, lambda: _criteria(found, session.wide))
    return 0 if found["passed"] else 3


def _criteria(found: Mapping[str, Any], wide: bool) -> RenderableType:
    rows = [
        {**criterion, **result}
        for criterion in found["criteria"]
        for result in criterion["results"] or [{"host": "", "outcome": "open", "detail": "", "recorded_by": ""}]
    ]
    columns = (
        Column("CRITERION", lambda row: row["id"]),
        Column("OUTCOME", lambda row: render.signed(signs.sign_of(signs.CRITERIA, row["outcome"]))),
        Column("HOST", lambda row: row["host"]),
        Column("WHAT", lambda row: row["says"]),
        Column("FOUND", lambda row: row["detail"]),
        Column("BY", lambda row: row["recorded_by"], wide=True),
    )
    return Together(listing(rows, columns, wide, "This package names no criteria."), Text(plain(found["detail"])))


@click.command(
    cls=Command,
    examples="""
    verdelta release result labapp 1.1 looks-right --passed --evidence start-page.png
    verdelta release result labapp 1.1 answers-quickly --value 120 --unit ms
    verdelta release result labapp 1.1 integration --junit report.xml
    """,
)
@click.argument("name")
@click.argument("version")
@click.argument("criterion")
@click.option("--passed/--failed", "passed", default=None, help="How a manual step came out.")
@click.option("--note", default="", help="What was seen.")
@click.option("--value", type=float, help="What was measured.")
@click.option("--unit", default="", help="The unit of the value.")
@click.option("--junit", metavar="FILE", help="Report of a test runner, as JUnit writes it.")
@click.option("--evidence", metavar="FILE", help="A file that shows it; it is kept in the library.")
@connected
def result(
    session: Session,
    name: str,
    version: str,
    criterion: str,
    passed: bool | None,
    note: str,
    value: float | None,
    unit: str,
    junit: str | None,
    evidence: str | None,
) -> None:
    """Tell how one criterion came out.  It is a manual step, a measured value, or a test report."""
    order: dict[str, Any] = {"note": note}
    if passed is not None:
        order["passed"] = passed
    if value is not None:
        order.update(value=value, unit=unit)
    if junit:
        from ..releases.test_results import read_junit, summed_up

        found = summed_up(read_junit(_bytes(Path(junit)), junit))
        order["tests"] = {"passed": found.passed, "failed": found.failed, "skipped": found.skipped}
        evidence = evidence or junit
    if evidence:
        order["artifact"] = bring_in(session, Path(evidence))
    told = session.api.post(path_of("releases", name, version, "criteria", criterion, "results"), order)
    sign = signs.sign_of(signs.CRITERIA, told["outcome"])
    session.show(told, lambda: Text(plain(f"{sign.sign} {criterion}: {sign.word}, {told['detail']}"), style=sign.style))


def bring_in(session: Session, path: Path) -> str:
    """Bring a file that shows something into the library, and return its digest.  Raises InvalidInput."""
    content = _bytes(path)
    digest = hashlib.sha256(content).hexdigest()
    session.api.upload(path_of("artifacts", path.name), iter([content]), len(content), sha256=digest)
    return digest


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error
    if not 0 < len(content) <= FILE_LIMIT:
        raise InvalidInput(f"{path}: evidence is a file of 1 byte to {FILE_LIMIT >> 20} MiB")
    return content


@click.command(
    cls=Command,
    examples="""
    verdelta release rehearsed labapp 1.1
    verdelta release rehearsed labapp 1.1 --write rehearsed.yaml
    verdelta release rehearsed labapp 1.1 --accept rehearsed.yaml
    verdelta release rehearsed labapp 1.1 --accept-all
    """,
)
@click.argument("name")
@click.argument("version")
@click.option("--write", "target", metavar="FILE", help="Write the lines into a file, to be edited.")
@click.option("--accept", "source", metavar="FILE", help="Accept the lines in this file.")
@click.option("--accept-all", is_flag=True, help="Accept the lines as they are offered.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def rehearsed(
    session: Session, name: str, version: str, target: str | None, source: str | None, accept_all: bool, yes: bool
) -> None:
    """Review what the rehearsal was observed to change, and accept it.

    The lines are offered ready to be accepted: values that differ from host to host are "any" already. Loosen one by
    {pattern: "1.*"}, {at_least: "1.1"} or any; strike out what the release must not change: then it is mended, for
    what is accepted has to explain the rehearsal wholly. On authorisation exactly this is frozen.
    """
    path = path_of("releases", name, version, "rehearsed-change")
    found = session.api.get(path)
    if target:
        _write(Path(target), name, version, found)
        session.say(f"Wrote {amount(len(found['lines']), 'line')} to {target}. Edit it, and: --accept {target}")
        return
    if source or accept_all:
        changes = _read(Path(source), found["package"]) if source else [line["change"] for line in found["lines"]]
        confirm(f"Accept these {len(changes)} lines as all that {name} {version} may change?", yes=yes)
        done = session.api.post(path, {"package": found["package"], "changes": changes})
        session.show(done, lambda: _accepted(name, version, done))
        return
    session.show(found, lambda: _review(name, version, found, session.wide))


def _review(name: str, version: str, found: Mapping[str, Any], wide: bool) -> RenderableType:
    columns = (
        Column("ON", lambda line: line["host_class"]),
        Column("SECTION", lambda line: line["change"]["section"]),
        Column("ROW", lambda line: line["change"]["key"]),
        Column("AFTERWARDS", lambda line: _after(line["change"]["after"], wide)),
        Column("NOTE", lambda line: Text(plain(line["note"]), style=signs.UNSURE)),
    )
    undeclared = sum(1 for line in found["lines"] if not line["declared"])
    last = f"{amount(len(found['lines']), 'line')}, {undeclared} not declared in the manifest"
    lines: list[RenderableType] = [listing(found["lines"], columns, wide, "The rehearsal changed nothing.")]
    lines += [Text(plain(f"! declared, and not seen: {what}"), style=signs.BAD) for what in found["missing"]]
    lines.append(Text(last))
    if found["accepted"]:
        lines.append(Text(plain(f"✔ accepted as {found['accepted'][:12]}"), style=signs.GOOD))
    else:
        lines.append(Text(plain(f"Next: verdelta release rehearsed {name} {version} --accept-all")))
    return Together(*lines)


def _after(after: Any, wide: bool) -> str:
    if not isinstance(after, dict):
        return str(after)
    parts = [
        f"{name} {said(value) if not isinstance(value, dict) else json.dumps(value)}" for name, value in after.items()
    ]
    return ", ".join(parts if wide else parts[:4]) + (" …" if not wide and len(parts) > 4 else "")


def _accepted(name: str, version: str, done: Mapping[str, Any]) -> Text:
    line = f"✔ {amount(done['changes'], 'line')} accepted, as {done['digest'][:12]}, of rehearsal {done['rollout']}"
    text = Text(plain(line), style=signs.GOOD)
    return text.append(plain(f"\nNext: verdelta release sign {name} {version} acceptance"), style="none")


def _write(path: Path, name: str, version: str, found: Mapping[str, Any]) -> None:
    """Write the lines as YAML, each in one line with what a reviewer wants to know of it above."""
    said_first = [
        f"# What {name} {version} was observed to change in rehearsal {found['rollout']}.",
        "# Leave a line, loosen a value (any, {pattern: …}, {at_least: …}), or strike the line out.",
        f'package: "{found["package"]}"',
        "changes:",
    ]
    lines = []
    for line in found["lines"]:
        about = f"{line['host_class']}, on {len(line['hosts'])} of {line['of']}"
        about += f", {line['note']}" if line["note"] else ""
        lines += [f"  # {plain(about)}", f"  - {json.dumps(line['change'])}"]
    try:
        path.write_text("\n".join([*said_first, *lines]) + "\n")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}") from error


def _read(path: Path, package: str) -> Sequence[dict[str, Any]]:
    """Return the lines of a file that was written by `--write` and edited.  Raises InvalidInput with each line."""
    try:
        document = located_yaml.read(profile.read_text(path, located_yaml.LIMIT))
    except located_yaml.YamlProblem as error:
        raise InvalidInput(f"{path}:{error.line}: {error}") from error
    value = document.value
    if not isinstance(value, dict) or not isinstance(value.get("changes"), list):
        raise InvalidInput(f"{path}: no reviewed change", mend="verdelta release rehearsed … --write FILE writes one.")
    if value.get("package") != package:
        raise InvalidInput(
            f"{path}: it is of package {str(value.get('package'))[:12]}, and that is {package[:12]} now",
            mend="Review it again: --write FILE",
        )
    for place, change in enumerate(value["changes"]):
        try:
            Expectation.model_validate(change)
        except ValidationError as error:
            what = error.errors()[0]
            where = ".".join(str(step) for step in what["loc"])
            raise InvalidInput(f"{path}:{document.line(('changes', place))}: {where}: {what['msg']}") from error
    return list(value["changes"])
