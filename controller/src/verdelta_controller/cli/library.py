"""verdelta library: the definitive media library, its copies, and where all of it came from."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from ..foundation.errors import InvalidInput, NotFound
from ..library import transfer
from ..library.store import CHUNK
from . import library_pictures as pictures
from . import output, profile
from .command import Group, connected
from .session import Session, confirm, path_of
from .text import plain, size


@click.group(cls=Group)
def library() -> None:
    """The definitive media library, which installs draw from.

    Every file is named by its SHA-256, verified whenever it is read, and traceable: who brought it in and from where,
    which releases use it, on which hosts it is now, which sites have a copy.
    """


@library.command(
    "list",
    examples="""
    verdelta library list
    verdelta library list labapp
    """,
)
@click.argument("named", default="")
@connected
def list_artifacts(session: Session, named: str) -> None:
    """List what is in the library, the newest first.

    NAMED is a part of the file name, or how the digest begins.
    """
    found = session.api.get("artifacts", named=named or None)
    session.show(found, lambda: pictures.artifacts(found, session.wide))


@library.command(
    examples="""
    verdelta library show labapp_1.1_all.deb
    verdelta library show 9f2c1e7a
    """
)
@click.argument("artifact")
@connected
def show(session: Session, artifact: str) -> None:
    """Show where an artifact came from, what uses it, and where it is.

    ARTIFACT is a digest, the beginning of one, or a file name.
    """
    found = session.api.get(path_of("artifacts", find(session, artifact)["sha256"]))
    session.show(found, lambda: pictures.artifact(found))


@library.command(
    examples="""
    verdelta library add labapp_1.1_all.deb
    verdelta library add labapp.img --source https://example.org/labapp.img --supplier ACME
    """
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--source", default="", metavar="TEXT", help="Where it comes from: a URL, a medium; the file by default.")
@click.option("--supplier", default="", metavar="TEXT", help="Who supplied it.")
@click.option("--sha256", default="", metavar="DIGEST", help="What it is to have, as the supplier says (one file).")
@click.option("--again", is_flag=True, help="Send it also where the library has it: it mends what is damaged there.")
@connected
def add(session: Session, files: tuple[str, ...], source: str, supplier: str, sha256: str, again: bool) -> None:
    """Bring files into the library.

    A large file goes in parts: broken off, the same command goes on where it stood, whoever was stopped.
    """
    if sha256 and len(files) > 1:
        raise InvalidInput("--sha256 is of one file", mend="Add the files one by one.")
    brought = []
    for name in files:
        path = Path(name)
        digest, count = hash_file(path)
        if sha256 and sha256.lower() != digest:
            raise InvalidInput(f"{path}: it has sha256 {digest}", mend="Nothing was sent.  Get the file again.")
        known = is_there(session, digest) and not again
        if not known or source or supplier:
            send_file(session, path, digest, count, source or plain(path.resolve())[:1000], supplier)
        brought.append(session.api.get(path_of("artifacts", digest, "description")))
        if session.for_people:
            output.show(pictures.added(brought[-1], known))
    if not session.for_people:
        session.show(brought, lambda: "")


@library.command(
    examples="""
    verdelta library fetch 9f2c1e7a --file labapp.img
    verdelta library fetch labapp_1.1_all.deb
    """
)
@click.argument("artifact")
@click.option("--file", "target", default="", metavar="FILE", help="Where to; by default its own name, here.")
@connected
def fetch(session: Session, artifact: str, target: str) -> None:
    """Write an artifact into a file, which is there verified, or not at all.

    ARTIFACT is a digest, the beginning of one, or a file name. Broken off, the same command goes on where it stood.
    """
    found = find(session, artifact)
    path = Path(target or Path(found["file_name"]).name)
    with _told(path.name, found["size"]) as at:
        transfer.fetch(session.api, found["sha256"], found["size"], path, at)
    session.say(plain(f"{path}: {size(found['size'])}, sha256 {found['sha256']} verified"))


@library.command(examples="verdelta library verify")
@connected
def verify(session: Session) -> int:
    """Let the controller read its whole library, and say what is not as it should be.

    The result is recorded as evidence. Exit code 3 when something is damaged, missing, or does not belong there.
    Interrupted, the check goes on in the controller; the same command joins it.
    """
    found = _worked(session, session.api.post("library/checks"))
    session.show(found, lambda: pictures.check(found))
    return 3 if found["wrong"] else 0


@library.command(examples="verdelta library replicate offsite")
@click.argument("site")
@connected
def replicate(session: Session, site: str) -> int:
    """Copy to SITE what it lacks, read each new copy back there, and say what it holds.

    Exit code 3 when something is missing or damaged there afterwards. The same again copies only what is lacking.
    """
    return _looked_at(session, site, "replication")


@library.command(
    examples="""
    verdelta library retire labapp 1.0 --reason "replaced by 1.1"
    """
)
@click.argument("name")
@click.argument("version")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is recorded.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def retire(session: Session, name: str, version: str, reason: str, yes: bool) -> None:
    """Retire a release version: what only it uses is not deployed any more.

    Its content stays in the library. Refused while it is on its way to hosts, or is on one.
    """
    confirm(f"Retire {name} {version} for good?", yes=yes)
    done = session.api.post("library/retired", {"name": name, "version": version, "reason": reason})
    session.show(done, lambda: pictures.retired(done))


@library.command(
    examples="""
    verdelta library archive offsite --release labapp 1.0
    verdelta library archive offsite 9f2c1e7a --yes
    """
)
@click.argument("site")
@click.argument("artifacts", metavar="[ARTIFACT]...", nargs=-1)
@click.option("--release", "version", nargs=2, metavar="NAME VERSION", help="What only this retired version uses.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def archive(
    session: Session, site: str, artifacts: tuple[str, ...], version: tuple[str, str] | None, yes: bool
) -> None:
    """Move content to SITE: copied, read back there, and only then removed here.

    Never what a version uses that is not retired. To have it back: verdelta library restore ARTIFACT
    """
    digests = [find(session, artifact)["sha256"] for artifact in artifacts]
    name, number = version or ("", "")
    confirm(f"Move this to {site}, and remove it here?", yes=yes)
    order = {"name": name, "version": number, "artifacts": digests}
    done = _worked(session, session.api.post(path_of("library", "sites", site, "archive"), order))
    session.show(done, lambda: pictures.archived(done))


@library.command(examples="verdelta library restore labapp.img")
@click.argument("artifact")
@connected
def restore(session: Session, artifact: str) -> None:
    """Bring content back from a site: from the archive, or in the place of what is damaged or missing here."""
    digest = find(session, artifact)["sha256"]
    done = _worked(session, session.api.post(path_of("artifacts", digest, "restoration")))
    session.show(done, lambda: pictures.restored(done))


@library.group(cls=Group)
def site() -> None:
    """The further sites that hold copies: a directory, an S3-compatible store, another controller."""


@site.command(
    "add",
    examples="""
    verdelta library site add offsite --kind directory --location /srv/verdelta-copies
    verdelta library site add bucket --kind s3 --location s3://dml/live --access-key AKIA --secret-file s3.secret
    verdelta library site add berlin --kind controller --location https://berlin:8470 --secret-file berlin.token
    """,
)
@click.argument("name")
@click.option("--kind", type=click.Choice(["directory", "s3", "controller"]), required=True, help="What it is.")
@click.option("--location", required=True, metavar="WHERE", help="A directory, s3://bucket/prefix, or an address.")
@click.option("--endpoint", default="", metavar="URL", help="s3: its address, where it is not Amazon's.")
@click.option("--region", default="", metavar="NAME", help="s3: its region.")
@click.option("--access-key", default="", metavar="ID", help="s3: the access key's id.")
@click.option("--secret-file", default="", metavar="FILE", help="s3: the secret key; controller: a token.")
@click.option("--site-ca", default="", metavar="FILE", help="controller: its CA certificate.")
@connected
def add_site(session: Session, name: str, secret_file: str, site_ca: str, **order: str) -> None:
    """Keep copies at a further site, when it answers.

    The controller reaches it, so a directory is one on the controller's machine. Secrets are kept sealed.
    """
    order["secret"] = profile.read_text(Path(secret_file)).strip() if secret_file else ""
    order["ca"] = profile.read_text(Path(site_ca)) if site_ca else ""
    made = session.api.post("library/sites", {"name": name, **order})
    session.show(made, lambda: pictures.sites([made]))


@site.command("list", examples="verdelta library site list")
@connected
def list_sites(session: Session) -> None:
    """List the sites, and what each held when it was last looked at."""
    found = session.api.get("library/sites")
    session.show(found, lambda: pictures.sites(found, session.wide))


@site.command("check", examples="verdelta library site check offsite")
@click.argument("site")
@connected
def check_site(session: Session, site: str) -> int:
    """Read back everything that SITE has, and say what is complete, missing, damaged and extra there.

    Exit code 3 when something is missing or damaged.
    """
    return _looked_at(session, site, "checks")


def find(session: Session, artifact: str) -> dict[str, Any]:
    """Return the artifact that somebody means by a digest, the beginning of one, or a name.

    Raises NotFound, InvalidInput when it could be several.
    """
    found = [
        one
        for one in session.api.get("artifacts", named=artifact)
        if one["file_name"] == artifact or one["sha256"].startswith(artifact.lower())
    ]
    if not found:
        raise NotFound(f"the library has no artifact {artifact[:80]!r}", mend="verdelta library list shows them")
    if len(found) > 1:
        digests = ", ".join(one["sha256"][:12] for one in found[:5])
        raise InvalidInput(f"{artifact[:80]!r} could be {digests}", mend="Give more of the digest.")
    return dict(found[0])


def is_there(session: Session, digest: str) -> bool:
    """Return whether the library has content on its disk, not only in an archive."""
    try:
        return bool(session.api.get(path_of("artifacts", digest, "description"))["is_here"])
    except NotFound:
        return False


def send_file(session: Session, path: Path, sha256: str, count: int, source: str = "", supplier: str = "") -> None:
    """Bring a file into the library, in parts where it is large, with its progress on a terminal."""

    @contextmanager
    def read_from(offset: int) -> Iterator[Iterator[bytes]]:
        try:
            with path.open("rb") as stream:
                stream.seek(offset)
                yield iter(lambda: stream.read(CHUNK), b"")
        except OSError as error:
            raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error

    with _told(path.name, count) as at:
        content = transfer.Content(sha256, count, path.name, read_from, source, supplier)
        transfer.send(session.api, content, at)


def hash_file(path: Path) -> tuple[str, int]:
    """Return the SHA-256 and the size of a file.  Raises InvalidInput."""
    digest, count = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                count += len(chunk)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest(), count


def _looked_at(session: Session, site: str, what: str) -> int:
    """Let the controller look at a site, show what it holds, and return the exit code."""
    found = _worked(session, session.api.post(path_of("library", "sites", site, what)))
    session.show(found, lambda: pictures.site_report(site, found))
    return 3 if found["missing"]["count"] or found["damaged"]["count"] or found["failed"] else 0


def _worked(session: Session, task: dict[str, Any]) -> dict[str, Any]:
    """Return the result of long work in the controller, with its progress on a terminal."""
    with _told(task["kind"], 0) as at:
        return transfer.wait(session.api, task, lambda now: at(now["done"], now["total"]))


@contextmanager
def _told(name: str, total: int) -> Iterator[Callable[..., None]]:
    """Yield what shows on a terminal how many bytes of a file are there, and of how many."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    console = output.console(error=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(plain(name), total=total or None)
        yield lambda reached, total=total: bar.update(task, completed=reached, total=total or None)
