"""Teams: who does something together.  A role can be lent to everybody in one."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlmodel import col, delete, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, InvalidInput, NotFound
from ..foundation.evidence import EvidenceLog
from ..foundation.ids import is_name, new_id
from .grants import active, members, person_named, team_named
from .people_tables import Team, TeamMember
from .tables import Person

PURPOSE_LIMIT = 200


class TeamSeen(NamedTuple):
    """A team and the names of who is in it."""

    team: Team
    members: list[str]


class Teams:
    """The use-cases around teams."""

    def __init__(self, database: Database, evidence: EvidenceLog) -> None:
        self._database = database
        self._evidence = evidence

    def create(self, name: str, purpose: str, people: Sequence[str], by: str) -> TeamSeen:
        """Add a team.  Raises InvalidInput, NotFound (a person), Conflict (the name is taken)."""
        if not is_name(name):
            raise InvalidInput(f"{name!r} cannot name a team", mend="Letters, digits, dots, dashes; at most 63.")
        if len(purpose) > PURPOSE_LIMIT or not purpose.isprintable():
            raise InvalidInput(f"the purpose of {name} is not one line of at most {PURPOSE_LIMIT} characters")
        at, chosen = now(), sorted(set(people))
        team = Team(id=new_id(), name=name, purpose=purpose, created_at=at)
        with self._database.transaction() as session:
            if session.exec(select(Team).where(Team.name == name)).first():
                raise Conflict(f"there is a team named {name}", mend=f"verdelta team members {name}")
            session.add(team)
            session.flush()
            session.add_all(TeamMember(team_id=team.id, person_id=active(session, one).id) for one in chosen)
            session.flush()
            self._evidence.append(session, "team-added", name, {"team_id": team.id, "members": chosen, "by": by}, at)
        return TeamSeen(team, chosen)

    def all(self) -> list[TeamSeen]:
        """Return every team, by name."""
        with self._database.reading() as session:
            seen = {team.id: TeamSeen(team, []) for team in session.exec(select(Team).order_by(Team.name))}
            within = select(TeamMember.team_id, Person.name).join(Person, col(Person.id) == TeamMember.person_id)
            for team_id, name in session.exec(within.order_by(Person.name)):
                seen[team_id].members.append(name)
        return list(seen.values())

    def names_with(self, person_id: str) -> list[str]:
        """Return the names of the teams that a person is in."""
        hers = select(Team.name).join(TeamMember, col(TeamMember.team_id) == Team.id)
        with self._database.reading() as session:
            return list(session.exec(hers.where(TeamMember.person_id == person_id).order_by(Team.name)))

    def change(self, name: str, add: Sequence[str], remove: Sequence[str], by: str) -> TeamSeen:
        """Add people to a team and remove others; what is so already stays so.  Raises NotFound, Conflict."""
        both = sorted(set(add) & set(remove))
        if both:
            raise InvalidInput(f"{both[0]} cannot be added and removed at once")
        with self._database.transaction() as session:
            team = team_named(session, name, lock=True)
            before = {person.name for person in members(session, team)}
            coming = [active(session, one) for one in sorted(set(add) - before)]
            going = [person_named(session, one).id for one in sorted(set(remove))]
            session.add_all(TeamMember(team_id=team.id, person_id=one.id) for one in coming)
            mine = (col(TeamMember.team_id) == team.id, col(TeamMember.person_id).in_(going))
            session.exec(delete(TeamMember).where(*mine))
            session.flush()
            after = [person.name for person in members(session, team)]
            content = {"team_id": team.id, "members": after, "by": by}
            if set(after) != before:
                self._evidence.append(session, "team-changed", name, content, now())
        return TeamSeen(team, after)

    def named(self, name: str) -> TeamSeen:
        """Return one team.  Raises NotFound."""
        found = next((seen for seen in self.all() if seen.team.name == name), None)
        if found is None:
            raise NotFound(f"there is no team named {name}", mend="verdelta team list")
        return found
