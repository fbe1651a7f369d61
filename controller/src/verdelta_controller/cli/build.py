"""verdelta release build: resolve, lock, test, bring in, and make the package."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group as Together
from rich.text import Text

from ..foundation.errors import VerdeltaError
from . import output, render, signs
from .command import Command, connected
from .session import Session
from .text import amount, plain, size

if TYPE_CHECKING:
    from ..releases.test_results import BuilderTests, CaseResult
    from .package import Package


class TestsFailed(VerdeltaError):
    """The builder's own tests failed."""


@click.command(
    cls=Command,
    examples="""
    verdelta release build
    verdelta release build labapp/release.yaml --dry-run
    verdelta release build --update-lock
    verdelta release build --junit report.xml
    """,
)
@click.argument("manifest", default="release.yaml")
@click.option("--dry-run", is_flag=True, help="Resolve and check everything; test, write and send nothing.")
@click.option("--update-lock", is_flag=True, help="Take other content than release.lock has pinned: it is intended.")
@click.option("--without-tests", is_flag=True, help="Leave the manifest's tests out; the package says so.")
@click.option("--junit", "reports", multiple=True, metavar="FILE", help="Take the results of tests run elsewhere too.")
@click.option("--despite-failed-tests", is_flag=True, help="Build although a test failed; the package says so.")
@connected
def build(
    session: Session,
    manifest: str,
    dry_run: bool,
    update_lock: bool,
    without_tests: bool,
    reports: tuple[str, ...],
    despite_failed_tests: bool,
) -> None:
    """Build a release package from MANIFEST (release.yaml here by default).

    It is resolved and checked first, as a whole: every error is named with its line, and nothing is sent. What the
    folder lacks is fetched by this machine, every component is pinned in release.lock, and the builder's own tests are
    run. Then the files that the library lacks are brought in, and the package is made. The same again yields the same
    package, byte for byte.
    """
    from . import package

    found = package.read(Path(manifest), update_lock=update_lock)
    if dry_run:
        session.show(found.order(), lambda: _checked(found))
        return
    tests = _tested(session, found, reports, without_tests)
    if tests.failed and not despite_failed_tests:
        raise TestsFailed(
            f"{amount(tests.failed, 'test')} of the builder failed; nothing was sent",
            mend="Mend it; or build with --despite-failed-tests: the package says so to everybody.",
        )
    found.keep_lock()
    _bring_in(session, found)
    made = session.api.post("releases", {**found.order(), "builder_tests": tests.model_dump(mode="json")})
    session.show(made, lambda: _built(made, tests))


def _tested(session: Session, found: "Package", reports: tuple[str, ...], without_tests: bool) -> "BuilderTests":
    """Run the tests of the manifest, take in those of reports, and tell a person of each that was run."""
    from ..releases.test_results import summed_up
    from . import builder_tests

    results = [result for report in reports for result in builder_tests.from_junit(Path(report))]
    chosen = [] if without_tests else found.manifest.tests
    for test in chosen:
        result = builder_tests.run(test, found.path.parent)
        results.append(result)
        if session.for_people:
            output.show(_test_line(result))
    return summed_up(results, left_out=without_tests and bool(found.manifest.tests))


def _test_line(result: "CaseResult") -> Text:
    sign = signs.FAILED if result.outcome == "failed" else signs.OK
    line = Text.assemble(
        (f"{sign.sign} ", sign.style), f"test {plain(result.name)}  {result.outcome}  ", (f"{result.seconds} s", "dim")
    )
    for said in result.message.splitlines()[-10:]:
        line.append(f"\n    {plain(said)}", style="dim")
    return line


def _bring_in(session: Session, found: "Package") -> None:
    from .bringing_in import bring_in

    brought = bring_in(session, [*found.files, found.lock_file()])
    if session.for_people:
        for file in found.files[:50]:
            output.show(render.upload_line(file.name, file.size, file.sha256 not in brought))
        if len(found.files) > 50:
            output.show(Text(f"  and {amount(len(found.files) - 50, 'further file')}", style=signs.IDLE))


# What is said of a package that was there already, by where its release stands with it.
_STANDING = {
    "rejected": "It is the package that was rejected: mend it, and build again.",
    "cancelled": "This release was given up: give the package another version.",
}


def _built(document: dict[str, Any], tests: "BuilderTests") -> Text:
    name, files = f"{document['name']} {document['version']}", amount(len(document["files"]), "file")
    standing = _STANDING.get(document["state"])
    sign, style = ("!", signs.UNSURE) if standing else ("✔", signs.GOOD)
    state = signs.sign_of(signs.RELEASES, document["state"]).word
    line = Text(plain(f"{sign} {name}: {files}, package {document['digest'][:12]}, {state}"), style=style)
    if tests.left_out or tests.failed:
        line.append(f"\n! builder's tests: {_tests_said(tests)}", style=signs.UNSURE)
    elif tests.passed:
        line.append(f"\n  builder's tests: {_tests_said(tests)}", style="none")
    if standing:
        line.append(f"\n{standing}", style="none")
    elif document["authorised_at"] is None:
        line.append("\n").append(plain(f"Next: verdelta release gates {name}"), style="none")
    return line


def _tests_said(tests: "BuilderTests") -> str:
    said = [f"{count} {word}" for word in ("passed", "failed", "skipped") if (count := getattr(tests, word))]
    return ", ".join([*said, "those of the manifest left out"] if tests.left_out else said)


def _checked(found: "Package") -> Together:
    manifest = found.manifest
    total = sum(file.size for file in found.files)
    head = f"✔ {found.path}: {manifest.release} {manifest.version} can be built; nothing was sent"
    files = (
        f"{amount(len(manifest.components), 'component')}, {amount(len(found.files), 'file')}, {size(total)};"
        " may change:"
    )
    return Together(
        Text(head, style=signs.GOOD), Text(files), render.authorised_changes(manifest.document()["changes"])
    )
