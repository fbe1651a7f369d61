"""Pictures of people, roles and teams.  Pure: a document in, a renderable out."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.text import Text

from . import signs
from .render import Column, Document, facts, listing
from .signs import Sign
from .text import moment, plain

IN_FORCE = Sign("✔", "in force", signs.GOOD)
COMING = Sign("·", "to come", signs.IDLE)
OVER = Sign("■", "over", signs.IDLE)


def whoami(document: Document, waiting: str = "") -> RenderableType:
    """Return who is asking, and (of a person) how much waits for her."""
    kind = "a person" if document["is_person"] else "a token, which never signs"
    inbox = [("inbox", waiting)] if waiting else []
    return facts([("name", document["name"]), ("is", kind), ("roles", document["roles"]), *inbox])


def people(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return the list of people."""
    columns = (
        Column("PERSON", lambda one: one["name"]),
        Column("NAME", lambda one: one["full_name"]),
        Column("ROLES NOW", _roles_now),
        Column("STATE", _state),
        Column("STANDING", lambda one: one["standing"], wide=True),
        Column("ADDED", lambda one: moment(one["created_at"]), wide=True),
    )
    return listing(documents, columns, wide, "There is nobody yet: verdelta person add --help")


def person(document: Document, wide: bool = False) -> RenderableType:
    """Return one person, and the roles that she holds, lends and is lent."""
    about = facts(
        [
            ("person", document["name"]),
            ("name", document["full_name"]),
            ("standing", document["standing"]),
            ("state", _state(document)),
            ("login provider", "linked" if document["linked"] else "not linked"),
            ("added", moment(document["created_at"])),
        ]
    )
    shown = document["grants"] if wide else [one for one in document["grants"] if grant_state(one) is not OVER]
    return Group(about, Text(""), grants(shown, wide))


def grants(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return grants of roles, own and lent."""
    columns = (
        Column("ROLE", lambda one: one["role"]),
        Column("HELD BY", lambda one: one["person"]),
        Column("LENT BY", lambda one: one["lent_by"]),
        Column("STATE", grant_state),
        Column("FROM", lambda one: moment(one["begins_at"])),
        Column("UNTIL", lambda one: moment(one["ended_at"] or one["ends_at"]) if _ends(one) else "it is withdrawn"),
        Column("GRANTED BY", lambda one: one["granted_by"], wide=True),
        Column("ENDED BY", lambda one: one["ended_by"], wide=True),
    )
    return listing(documents, columns, wide, "There is no role now.")


def teams(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return the list of teams."""
    columns = (
        Column("TEAM", lambda one: one["name"]),
        Column("PURPOSE", lambda one: one["purpose"]),
        Column("MEMBERS", lambda one: one["members"]),
    )
    return listing(documents, columns, wide, "There is no team yet: verdelta team add --help")


def grant_state(grant: Document) -> Sign:
    """Return whether a grant counts now; a lent one counts only while the lender has the role."""
    now = datetime.now(UTC)
    ends = grant["ended_at"] or grant["ends_at"]
    if ends and datetime.fromisoformat(ends) <= now:
        return OVER
    return COMING if datetime.fromisoformat(grant["begins_at"]) > now else IN_FORCE


def _ends(grant: Document) -> bool:
    return bool(grant["ended_at"] or grant["ends_at"])


def _roles_now(document: Document) -> str:
    held = [one for one in document["grants"] if one["person"] == document["name"] and grant_state(one) is IN_FORCE]
    shown = [plain(one["role"]) + (f" (lent by {plain(one['lent_by'])})" if one["lent_by"] else "") for one in held]
    return ", ".join(sorted(shown))


def _state(document: Document) -> Sign:
    if document["left_at"]:
        return Sign("■", f"left {moment(document['left_at'])[:10]}", signs.IDLE)
    return Sign("✔", "joined", signs.GOOD) if document["joined"] else Sign("·", "not joined yet", signs.UNSURE)
