"""Forced races on both databases: at no moment, by no two requests, does one person hold two roles of a release.

Of what collides one is done and the other refused, each wholly; which of them is the machine's to decide.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session
from tests.support.concurrently import at_once
from tests.support.releases import CHANGE, Releases, some_releases

from verdelta_controller.access.people import People
from verdelta_controller.access.rules import Actor, Role, Standing
from verdelta_controller.foundation.clock import now
from verdelta_controller.foundation.errors import Conflict, GateClosed, NotAllowed, Unavailable, VerdeltaError
from verdelta_controller.releases.sides import Purpose
from verdelta_controller.releases.signing_off import SigningOffService

ROUNDS = 50
ALL = frozenset(Role) - {Role.ADMINISTRATOR}


@pytest.fixture
def releases(tmp_path, database_url) -> Iterator[Releases]:
    with some_releases(tmp_path, database_url) as found:
        yield found


class RealLoans:
    """Takes every code, and knows of loans what the controller does."""

    def __init__(self, people: People) -> None:
        self._people = people

    def confirm_second_step(self, actor: Actor, code: str) -> None:
        """Take the code."""

    def lender_of(self, session: Session, actor: Actor, role: Role) -> str | None:
        """Return who lent the actor a role."""
        return self._people.lender_of(session, actor, role)


def person(releases: Releases, name: str, *roles: Role) -> Actor:
    """Add somebody who may do everything; `roles` are those that are written down."""
    added = releases.services.people.accounts.create_person(name, name.title(), "root", Standing.MEMBER, roles)
    releases.people[name] = Actor(name, ALL, added.id)
    return releases.people[name]


def rows(releases: Releases, statement: str, **values: Any) -> list[Any]:
    """Return what lies in the tables."""
    with releases.services.database.reading() as session:
        return [tuple(row) for row in session.connection().execute(text(statement), values)]


def sides(releases: Releases, version: str, *people: Actor) -> set[str]:
    """Return every side that people are on in a release, by whatever they did there."""
    names = {f"p{place}": actor.person_id for place, actor in enumerate(people)}
    them = ", ".join(f":{name}" for name in names)
    found = rows(
        releases,
        "select s.side from release r join (select release_id, person_id, side from release_side union "  # noqa: S608
        "select release_id, person_id, side from release_duty union "
        "select release_id, person_id, side from sign_off) s on s.release_id = r.id "
        f"where r.version = :version and s.person_id in ({them})",
        version=version,
        **names,
    )
    return {side for (side,) in found}


def check_refused(results: list[Any]) -> list[VerdeltaError]:
    """Return what was refused; anything that failed otherwise is a defect."""
    failed = [result for result in results if isinstance(result, BaseException)]
    for one in failed:
        assert isinstance(one, NotAllowed | GateClosed | Conflict | Unavailable), repr(one)
    return failed


def state_of(releases: Releases, version: str) -> tuple[str, str, str | None]:
    release = releases.service.release("labapp", version)
    return release.state, release.digest, release.authorised_change


def in_test(releases: Releases, version: str) -> None:
    """Build an emergency release, and let its rehearsal pass."""
    releases.build(version=version, kind="emergency")
    releases.end_rehearsal(releases.begin_rehearsal(version=version))


def ready(releases: Releases, version: str) -> None:
    """Let an emergency release in test have all that its authorisation takes."""
    in_test(releases, version)
    releases.sign("carl", Purpose.CHANGE, version)
    releases.sign("rita", Purpose.IMPLEMENTATION, version)


def test_whoever_asks_for_two_roles_at_once_gets_one(releases):
    una, rita = person(releases, "una"), releases.people["rita"]
    ways: dict[str, tuple[str, Callable[[str], object]]] = {
        "appointed to make it": ("delivery", lambda v: appoint(Role.BUILD_MANAGER, v)),
        "building it": ("delivery", lambda v: releases.build("una", 2, v, "emergency")),
        "appointed to test it": ("test", lambda v: appoint(Role.TESTER, v)),
        "rehearsing it": ("test", lambda v: releases.begin_rehearsal("una", v)),
        "telling a result": ("test", lambda v: releases.tell(True, "una", v)),
        "accepting its change": ("test", lambda v: releases.accept_change("una", v, CHANGE)),
        "signing for the business": ("business", lambda v: releases.sign("una", Purpose.BUSINESS, v)),
        "signing the change": ("change", lambda v: releases.sign("una", Purpose.CHANGE, v)),
    }

    def appoint(role: Role, version: str) -> None:
        releases.signing.appoint("labapp", version, una.person_id or "", "una", role, rita)

    pairs = [(one, other) for one, other in combinations(ways, 2) if ways[one][0] != ways[other][0]]
    for turn in range(max(ROUNDS, 2 * len(pairs))):
        version, pair = f"1.{turn}", pairs[turn % len(pairs)][:: 1 if turn < len(pairs) else -1]
        in_test(releases, version)
        results = at_once([lambda way=way, version=version: ways[way][1](version) for way in pair])
        assert len(check_refused(results)) == 1, (pair, results)
        assert len(sides(releases, version, una)) <= 1, pair


def test_a_merge_and_a_signature_at_once_bring_nobody_to_both_sides(releases):
    for turn in range(ROUNDS):
        version = f"1.{turn}"
        kept, gone = person(releases, f"kept{turn}"), person(releases, f"gone{turn}")
        releases.build(version=version, kind="emergency")
        releases.signing.appoint(
            "labapp", version, kept.person_id or "", kept.name, Role.BUILD_MANAGER, releases.people["rita"]
        )
        actions = [
            lambda gone=gone, version=version: releases.sign(gone.name, Purpose.BUSINESS, version),
            lambda kept=kept, gone=gone: releases.services.people.accounts.merge_accounts(kept.name, gone.name, "root"),
        ]
        signed, merged = at_once(actions)
        assert len(check_refused([signed, merged])) >= 1
        if not isinstance(merged, BaseException):
            assert sides(releases, version, kept, gone) == {"delivery"}


def test_what_an_account_does_in_the_moment_of_its_merge_is_done_by_who_was_kept_or_not_at_all(releases):
    for turn in range(ROUNDS):
        version = f"1.{turn}"
        kept, gone = person(releases, f"kept{turn}"), person(releases, f"gone{turn}")
        releases.build(version=version, kind="emergency")
        actions = [
            lambda gone=gone, version=version: releases.sign(gone.name, Purpose.BUSINESS, version),
            lambda kept=kept, gone=gone: releases.services.people.accounts.merge_accounts(kept.name, gone.name, "root"),
        ]
        signed, merged = at_once(actions)
        check_refused([signed, merged])
        if not isinstance(merged, BaseException):
            assert sides(releases, version, gone) == set()
            assert sides(releases, version, kept) == (set() if isinstance(signed, BaseException) else {"business"})


def test_a_role_that_is_taken_away_and_signed_with_at_once_was_signed_with_before(releases):
    people = releases.services.people
    signing = SigningOffService(releases.services.database, releases.services.evidence, RealLoans(people))
    carl = releases.people["carl"]
    for turn in range(ROUNDS):
        version = f"1.{turn}"
        deputy = person(releases, f"deputy{turn}")
        people.grants.lend("carl", Role.CHANGE_MANAGER, carl, now(), now() + timedelta(days=7), to=deputy.name)
        releases.build(version=version, kind="emergency")
        subject = signing.binding("labapp", version, Purpose.CHANGE).subject
        actions = [
            lambda d=deputy, v=version, s=subject: signing.sign("labapp", v, Purpose.CHANGE, s, "000000", d),
            lambda d=deputy: people.grants.take_back("carl", Role.CHANGE_MANAGER, carl, d.name),
        ]
        signed, taken = at_once(actions)
        check_refused([signed, taken])
        if not isinstance(signed, BaseException) and not isinstance(taken, BaseException):
            newest = rows(releases, 'select kind from evidence_entry order by "index" desc limit 2')
            assert newest == [("role-taken-back",), ("signed-off",)]


def test_who_lends_a_role_and_makes_the_release_at_once_is_on_one_side(releases):
    for turn in range(ROUNDS):
        version = f"1.{turn}"
        lender = person(releases, f"lender{turn}")
        in_test(releases, version)
        releases.credentials.lenders["carl"] = lender.person_id or ""
        actions = [
            lambda version=version: releases.sign("carl", Purpose.CHANGE, version),
            lambda lender=lender, version=version: releases.build(lender.name, 2, version, "emergency"),
        ]
        assert len(check_refused(at_once(actions[:: 1 if turn % 2 else -1]))) >= 1
        assert len(sides(releases, version, lender)) <= 1


def test_what_is_authorised_and_built_anew_at_once_is_authorised_as_it_was_signed(releases):
    for turn in range(ROUNDS):
        version = f"1.{turn}"
        ready(releases, version)
        first = state_of(releases, version)[1]
        actions = [
            lambda version=version: releases.service.authorise("labapp", version, releases.people["rita"]),
            lambda version=version: releases.build("bob", 2, version, "emergency"),
        ]
        check_refused(at_once(actions[:: 1 if turn % 2 else -1]))
        state, digest, change = state_of(releases, version)
        assert (state, digest == first, change is None) in (("authorised", True, False), ("built", False, True))


def test_of_authorising_and_rejecting_at_once_one_is_done(releases):
    for turn in range(ROUNDS):
        version = f"1.{turn}"
        ready(releases, version)
        actions = [
            lambda version=version: releases.service.authorise("labapp", version, releases.people["rita"]),
            lambda version=version: releases.service.reject("labapp", version, "it hangs", releases.people["tess"]),
        ]
        refused = check_refused(at_once(actions[:: 1 if turn % 2 else -1]))
        state, _, change = state_of(releases, version)
        valid = [row for row in releases.signing.sign_offs("labapp", version) if row.voided_at is None]
        assert len(refused) == 1
        assert (state, change is None, len(valid)) in (("authorised", False, 2), ("rejected", True, 0))


def test_a_release_that_two_authorise_at_once_is_authorised_once(releases):
    rolf = person(releases, "rolf")
    for turn in range(ROUNDS):
        version = f"1.{turn}"
        ready(releases, version)
        actions = [
            lambda by=by, version=version: releases.service.authorise("labapp", version, by)
            for by in (releases.people["rita"], rolf)
        ]
        one, other = at_once(actions)
        assert not check_refused([one, other])
        assert (one.authorised_by, one.authorised_at) == (other.authorised_by, other.authorised_at)
        found = "select count(*) from evidence_entry where kind = 'release-authorised' and subject = :subject"
        assert rows(releases, found, subject=f"labapp {version}") == [(1,)]


def test_a_waiver_is_never_granted_by_another_account_of_who_asked(releases):
    releases.build(kind="emergency")
    until = now() + timedelta(days=7)
    for turn in range(ROUNDS):
        kept, gone = person(releases, f"kept{turn}"), person(releases, f"gone{turn}")
        asks, grants = (kept, gone) if turn % 2 else (gone, kept)
        waiver = releases.records.ask_waiver("labapp", "1.1", "rehearsal", "urgent", until, asks)
        actions = [
            lambda number=waiver.id, grants=grants: releases.records.grant_waiver(number, grants),
            lambda kept=kept, gone=gone: releases.services.people.accounts.merge_accounts(kept.name, gone.name, "root"),
        ]
        granted, merged = at_once(actions)
        assert len(check_refused([granted, merged])) >= 1
        found = rows(releases, "select asked_by, granted_by from gate_waiver where id = :id", id=waiver.id)
        one = {kept.person_id, gone.person_id}
        assert isinstance(merged, BaseException) or not one >= set(found[0])
        if not isinstance(merged, BaseException):
            with pytest.raises(NotAllowed):
                releases.records.grant_waiver(waiver.id, kept)


def test_accounts_are_not_merged_when_one_granted_what_the_other_asked_for(releases):
    releases.build(kind="emergency")
    kept, gone = person(releases, "kept"), person(releases, "gone")
    until = now() + timedelta(days=7)
    waiver = releases.records.ask_waiver("labapp", "1.1", "rehearsal", "urgent", until, gone)
    releases.records.grant_waiver(waiver.id, kept)
    with pytest.raises(Conflict, match=f"one of the two accounts granted waiver {waiver.id}"):
        releases.services.people.accounts.merge_accounts("kept", "gone", "root")


def test_what_was_lent_by_the_account_that_goes_was_lent_by_the_one_that_is_kept(releases):
    releases.build(kind="emergency")
    kept, gone = person(releases, "kept"), person(releases, "gone")
    releases.credentials.lenders["carl"] = gone.person_id or ""
    releases.sign("carl", Purpose.CHANGE)
    releases.services.people.accounts.merge_accounts("kept", "gone", "root")
    assert [row.for_person_id for row in releases.signing.sign_offs("labapp", "1.1")] == [kept.person_id]


def test_who_has_left_does_nothing_any_more_whatever_was_under_way(releases):
    releases.build(kind="emergency")
    left = person(releases, "left")
    releases.services.people.accounts.leave("left", "root")
    with pytest.raises(NotAllowed, match="left has left"):
        releases.sign("left", Purpose.BUSINESS)
    with pytest.raises(NotAllowed, match="left has left"):
        releases.records.ask_waiver("labapp", "1.1", "rehearsal", "urgent", now() + timedelta(days=7), left)
