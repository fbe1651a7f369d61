"""verdelta release: packages that are built once, authorised, and never changed."""

from typing import Any

import click
from rich.console import Group as Together
from rich.text import Text

from . import output, render, signs
from .command import Group, Lazy, connected
from .session import Session, confirm, path_of
from .text import amount, plain

PACKAGES = {
    "build": Lazy("build:build", "Build a release package from MANIFEST (release.yaml here by default)"),
    "diff": Lazy("build_pictures:diff", "Show what differs between two packages, such as labapp@1.0 and labapp@1.1"),
    "sbom": Lazy("build_pictures:sbom", "Print the bill of materials of a release, as CycloneDX 1.6"),
    "lock": Lazy("build_pictures:lock", "Show the final configuration of a release: every component, pinned"),
}


@click.group(cls=Group, lazy=PACKAGES)
def release() -> None:
    """Release packages: built, authorised, never changed.

    A package is a manifest (release.yaml) and its files. The manifest says what the release is made of, how it is
    installed, and what is different on a host afterwards: whatever else changes is not as released.
    """


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
    frozen = f"{amount(len(document['manifest']['changes']), 'change')}, frozen as {document['authorised_change'][:12]}"
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
