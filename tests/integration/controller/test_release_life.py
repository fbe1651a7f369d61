"""Where a release may go, on both databases: what it owes can be made good, and what was given up stays given up."""

from collections.abc import Iterator

import pytest
from tests.support.releases import MANIFEST, Releases, some_releases

from verdelta_controller.foundation.errors import GateClosed
from verdelta_controller.releases.rules import ReleaseState
from verdelta_controller.releases.sides import Purpose


@pytest.fixture
def releases(tmp_path, database_url) -> Iterator[Releases]:
    with some_releases(tmp_path, database_url) as found:
        yield found


def recorded(releases: Releases, kind: str) -> int:
    """Return how often something of a kind was recorded."""
    with releases.services.database.reading() as session:
        return len(releases.services.evidence.entries(session, kind=kind))


def deployed_before_it_was_accepted(releases: Releases) -> None:
    """Let an emergency release go out that was in test, and failed its rehearsal there."""
    releases.build(kind="emergency")
    releases.end_rehearsal(releases.begin_rehearsal(), passed=False)
    releases.sign("carl", Purpose.CHANGE)
    releases.sign("rita", Purpose.IMPLEMENTATION)
    release = releases.service.authorise("labapp", "1.1", releases.people["rita"])
    for state in (ReleaseState.DEPLOYING, ReleaseState.DEPLOYED):
        with releases.services.database.transaction() as session:
            releases.service.follow(session, release.id or 0, state)


def test_an_emergency_release_that_left_its_test_half_way_can_make_good_what_it_owes(releases):
    deployed_before_it_was_accepted(releases)
    releases.sign("bea", Purpose.BUSINESS)
    with pytest.raises(GateClosed, match="rehearsal: roll-out 1"):
        releases.service.close("labapp", "1.1", releases.people["rita"])
    releases.end_rehearsal(releases.begin_rehearsal())
    releases.tell()
    releases.accept_change()
    releases.sign("tess", Purpose.ACCEPTANCE)
    releases.sign("bea", Purpose.BUSINESS)
    assert releases.service.close("labapp", "1.1", releases.people["rita"]).state == "closed"


def test_who_rejects_a_release_twice_has_rejected_it_once(releases):
    releases.build()
    releases.begin_rehearsal()
    for reason in ("it hangs", "it hangs"):
        rejected = releases.service.reject("labapp", "1.1", reason, releases.people["tess"])
    assert rejected.passed == ["built", "in_test", "rejected"]
    assert recorded(releases, "release-rejected") == 1


@pytest.mark.parametrize("end", ["rejected", "cancelled"])
def test_nobody_signs_what_was_given_up(releases, end: str):
    releases.build(kind="emergency")
    releases.begin_rehearsal()
    if end == "rejected":
        releases.service.reject("labapp", "1.1", "it hangs", releases.people["tess"])
    else:
        releases.service.cancel("labapp", "1.1", releases.people["rita"])
    with pytest.raises(GateClosed, match=f"labapp 1.1 is {end}: there is nothing to sign any more"):
        releases.sign("carl", Purpose.CHANGE)
    assert releases.signing.sign_offs("labapp", "1.1") == []


KNOWN = """known_errors:
  - {title: loses its settings, severity: high, workaround: Keep a copy., component: labapp}
"""


def test_what_a_package_says_is_known_to_be_wrong_with_it_is_on_record_once_and_closes_its_gate(releases):
    bob = releases.people["bob"]
    source = MANIFEST.format(version="1.1", build=1, type="minor") + KNOWN
    releases.service.build(source, {}, "release.yaml", bob)
    releases.service.build(source.replace("build 1", "build 2"), {}, "release.yaml", bob)
    (error,) = releases.records.known_errors("labapp", "1.1")
    assert (error.title, error.severity, error.workaround) == ("loses its settings", "high", "Keep a copy.")
    assert recorded(releases, "known-error-found") == 1
    _, _, lines = releases.service.checklist("labapp", "1.1")
    assert {line.gate: line.status.value for line in lines}["known-errors high"] == "not_met"
    releases.records.resolve(error.id, "fixed", "mended", bob)
    releases.build()
    _, _, lines = releases.service.checklist("labapp", "1.1")
    assert {line.gate: line.status.value for line in lines}["known-errors high"] == "met"
