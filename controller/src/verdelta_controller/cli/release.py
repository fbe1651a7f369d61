"""verdelta release: packages that are built once, authorised, and never changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group as Together
from rich.text import Text

from . import output, render, signs
from .command import Group, connected
from .session import Session, confirm, path_of
from .text import amount, plain, size

if TYPE_CHECKING:
    from .package import File, Package


@click.group(cls=Group)
def release() -> None:
    """Release packages: built, authorised, never changed.

    A package is a manifest (release.yaml) and its files. The manifest says what the release is made of, how it is
    installed, and what is different on a host afterwards: whatever else changes is not as released.
    """


@release.command(
    examples="""
    verdelta release build
    verdelta release build labapp/release.yaml --dry-run
    """
)
@click.argument("manifest", default="release.yaml")
@click.option("--dry-run", is_flag=True, help="Check the manifest and its files; send nothing.")
@connected
def build(session: Session, manifest: str, dry_run: bool) -> None:
    """Build a release package from MANIFEST (release.yaml here by default).

    It is checked first, as a whole: every error is named with its line, and nothing is sent. Then the files that the
    library lacks are brought in, and the package is made. The same again yields the same package; other content under
    the same version is refused.
    """
    from . import package

    found = package.read(Path(manifest))
    if dry_run:
        session.show(found.order(), lambda: _checked(found))
        return
    for file in found.files:
        _bring_in(session, file)
    made = session.api.post("releases", found.order())
    session.show(made, lambda: _built(made))


def _built(document: dict[str, Any]) -> Text:
    name, files = f"{document['name']} {document['version']}", amount(len(document["files"]), "file")
    line = Text(plain(f"✔ {name}: {files}, package {document['digest'][:12]}, {document['state']}"), style=signs.GOOD)
    if document["authorised_at"] is None:
        line.append("\n").append(
            plain(f"What it may change is frozen by: verdelta release authorise {name}"), style="none"
        )
    return line


def _checked(found: "Package") -> Together:
    manifest = found.manifest
    total = sum(file.size for file in found.files)
    head = f"✔ {found.path}: {manifest.release} {manifest.version} can be built; nothing was sent"
    files = f"{amount(len(found.files), 'file')}, {size(total)}; may change:"
    return Together(
        Text(head, style=signs.GOOD), Text(files), render.authorised_changes(manifest.document()["changes"])
    )


def _bring_in(session: Session, file: "File") -> None:
    """Bring a file into the library, unless it has it."""
    from . import library

    known = library.is_there(session, file.sha256)
    if not known:
        library.send_file(session, file.path, file.sha256, file.size, plain(file.path.resolve())[:1000])
    if session.for_people:
        output.show(render.upload_line(file.name, file.size, known))


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
