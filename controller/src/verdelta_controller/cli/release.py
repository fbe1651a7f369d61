"""verdelta release: packages that are built once, authorised, and never changed."""

from typing import Any

import click
from rich.console import Group as Together
from rich.text import Text

from . import output, render, signs
from .command import SESSION, Group, Lazy, connected
from .session import Session, confirm, path_of
from .text import amount, plain

LAZY = {
    "build": Lazy("build:build", "Build a release package from MANIFEST (release.yaml here by default)"),
    "diff": Lazy("build_pictures:diff", "Show what differs between two packages, such as labapp@1.0 and labapp@1.1"),
    "sbom": Lazy("build_pictures:sbom", "Print the bill of materials of a release, as CycloneDX 1.6"),
    "lock": Lazy("build_pictures:lock", "Show the final configuration of a release: every component, pinned"),
    "components": Lazy("build_pictures:components", "Show the way of each component to live operation"),
    "draft": Lazy("release_life:draft", "Begin to plan a release, before anything is built", "Lifecycle"),
    "gates": Lazy("release_life:gates", "Show what a release must have, and whose turn it is", "Lifecycle"),
    "reject": Lazy("release_life:reject", "Send a release that is in test back to be built anew", "Lifecycle"),
    "close": Lazy("release_life:close", "Close a release that is deployed, and owes nothing", "Lifecycle"),
    "cancel": Lazy("release_life:cancel", "Give a release up that was not deployed", "Lifecycle"),
    "test": Lazy("release_test:test", "Rehearse a release on test hosts", "Test"),
    "criteria": Lazy("release_test:criteria", "Show what a release will be accepted by, and how that came out", "Test"),
    "result": Lazy("release_test:result", "Tell how one criterion came out", "Test"),
    "rehearsed": Lazy(
        "release_test:rehearsed", "Review what the rehearsal was observed to change, and accept it", "Test"
    ),
    "sign": Lazy("release_people:sign", "Sign a release, with a code of your second step", "People"),
    "sign-offs": Lazy(
        "release_people:sign_offs", "List what was signed, by whom, and whether it still holds", "People"
    ),
    "people": Lazy("release_people:people", "List who stands on which side of a release", "People"),
    "appoint": Lazy("release_people:appoint", "Appoint a person to a duty in a release", "People"),
    "record": Lazy("release_people:record", "Put on record that something was done", "Records"),
    "known-errors": Lazy("release_people:known_errors", "List the known errors, with how to live with them", "Records"),
    "known-error": Lazy("release_people:known_error", "Write down an error that was found", "Records"),
    "resolve": Lazy("release_people:resolve", "Say that a known error is fixed, or accepted as it is", "Records"),
    "waive": Lazy("release_people:waive", "Ask for a gate to be waived", "Records"),
    "grant": Lazy("release_people:grant", "Grant a waiver that somebody else asked for", "Records"),
    "waivers": Lazy("release_people:waivers", "List the waivers, asked for and granted", "Records"),
}


@click.group(cls=Group, lazy=LAZY)
def release() -> None:
    """Releases, from draft to closed.

    They are built, rehearsed, signed, authorised and deployed. A package is a manifest (release.yaml) and its files.
    The manifest says what the release is made of, how it is installed, and what is different on a host afterwards:
    whatever else changes is not as released.
    """


@release.result_callback()
@click.pass_context
def _remind(context: click.Context, result: Any) -> Any:
    """Say how much waits for whoever ran a command of this group, and hand its exit code on."""
    session = context.meta.get(SESSION)
    if session is not None:
        from .inbox import remind

        remind(session)
    return result


@release.command("list", examples="verdelta release list")
@connected
def list_releases(session: Session) -> None:
    """List the releases, the newest first."""
    found = session.api.get("releases")
    session.show(found, lambda: render.releases(found, session.wide))


@release.command(examples="verdelta release show labapp 1.1")
@click.argument("name")
@click.argument("version")
@connected
def show(session: Session, name: str, version: str) -> None:
    """Show a release: what it is made of, how it is installed, and what it may change."""
    found = session.api.get(path_of("releases", name, version))
    session.show(found, lambda: render.release(found, session.wide))


@release.command(
    examples="""
    verdelta release authorise labapp 1.1
    verdelta release authorise labapp 1.1 --yes
    """
)
@click.argument("name")
@click.argument("version")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def authorise(session: Session, name: str, version: str, yes: bool) -> None:
    """Authorise a release for deployment: what it may change is frozen by its digest.

    It is shown first. From then on exactly that is what the verdict on every host is held against.
    """
    path = path_of("releases", name, version)
    before = session.api.get(path)
    if before["authorised_at"] is None:
        if session.for_people and not yes:
            output.show(Together(render.release(before, session.wide), Text("")))
        confirm(f"Authorise {name} {version} to change this, and nothing else?", yes=yes)
    done = session.api.post(f"{path}/authorisation")
    session.show(done, lambda: _authorised(done))


def _authorised(document: dict[str, Any]) -> Text:
    frozen = f"{amount(len(document['changes']), 'change')}, frozen as {document['authorised_change'][:12]}"
    who = f"{document['name']} {document['version']} is authorised by {document['authorised_by']}"
    return Text(plain(f"✔ {who}: {frozen}"), style=signs.GOOD)


@release.command(
    examples="""
    verdelta release schema > release.schema.json
    """
)
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), default="json", help="How to print.")
def schema(form: str) -> None:
    """Print the JSON Schema of release.yaml, with which editors complete it.

    In the first line of release.yaml: # yaml-language-server: $schema=release.schema.json
    """
    from ..releases.manifest import manifest_schema

    output.show_document(manifest_schema(), form)
