"""The policy is typed: what it says is held against, and what it does not know is an error with its line."""

import pytest

from verdelta_controller.foundation.errors import InvalidInput, NotFound
from verdelta_controller.releases.manifest import ReleaseType
from verdelta_controller.releases.policy import load_policy, shipped_policies, shipped_policy

POLICY = """\
policy: house
numbering: major.minor
freezes:
  - {name: end of the year, begins: 2026-12-20, ends: 2027-01-04, except_for: [emergency]}
types:
  minor:
    before:
      authorised:
        - {gate: sign-off, of: business, at_least: 2}
        - {gate: record, of: security-scan, by: build-manager}
"""


def test_every_shipped_policy_can_be_put_in_force():
    assert shipped_policies() == ["one-person", "standard"]
    for name in shipped_policies():
        _, policy = shipped_policy(name)
        assert policy.policy == name and set(policy.types) == set(ReleaseType)


def test_the_standard_policy_lets_no_release_go_without_a_signature_of_the_business_or_the_test_manager():
    _, policy = shipped_policy("standard")
    for kind in policy.types.values():
        names = {gate.name for gates in kind.before.values() for gate in gates}
        assert {"sign-off acceptance", "sign-off business", "sign-off implementation", "rehearsal"} <= names


def test_an_unknown_shipped_policy_is_named_with_those_that_there_are():
    with pytest.raises(NotFound, match="no policy strict") as refused:
        shipped_policy("strict")
    assert "one-person, standard" in str(refused.value)


def test_the_same_policy_has_the_same_digest_however_it_is_laid_out():
    spaced = POLICY.replace("  minor:", "\n  # of the small ones\n  minor:")
    assert load_policy(POLICY).digest() == load_policy(spaced).digest()
    assert load_policy(POLICY).digest() != load_policy(POLICY.replace("at_least: 2", "at_least: 3")).digest()


WRONG = {
    "a gate that is nearly right": (
        POLICY.replace("gate: record", "gate: recrod"),
        'policy.yaml:10: unknown gate "recrod" in item 2 of authorised of before of minor of types; '
        'did you mean "record"?',
    ),
    "a gate without its kind": (
        POLICY.replace("gate: sign-off, ", ""),
        'policy.yaml:9: field "gate" is missing in item 1 of authorised of before of minor of types; one of '
        "builder-tests, criteria, rehearsal, rehearsed-change, back-out, known-errors, document, record, sign-off, "
        "no-freeze, frequency",
    ),
    "a field that a gate does not have": (
        POLICY.replace("at_least: 2", "at_laest: 2"),
        'policy.yaml:9: unknown field "at_laest" in item 1 of authorised of before of minor of types; '
        'did you mean "at_least"?',
    ),
    "a role that there is not": (
        POLICY.replace("by: build-manager", "by: build-manger"),
        'policy.yaml:10: unknown by "build-manger" in item 2 of authorised of before of minor of types; '
        'did you mean "build-manager"?',
    ),
    "a gate twice": (
        POLICY.replace("- {gate: record, of: security-scan, by: build-manager}", "- {gate: sign-off, of: business}"),
        "policy.yaml:7: sign-off business stands twice before authorised, in before of minor of types",
    ),
    "a freeze that ends before it begins": (
        POLICY.replace("ends: 2027-01-04", "ends: 2026-12-19"),
        "policy.yaml:4: end of the year ends before it begins, in item 1 of freezes",
    ),
    "a day that is none": (
        POLICY.replace("ends: 2027-01-04", "ends: soon"),
        "policy.yaml:4: not a day like 2026-12-20, in ends of item 1 of freezes",
    ),
    "a day of no calendar": (
        POLICY.replace("ends: 2027-01-04", "ends: 2027-02-30"),
        "policy.yaml:4: ends",
    ),
    "a field that the policy does not have": (
        POLICY + "service_level: []\n",
        'policy.yaml:11: unknown field "service_level" in the policy; did you mean "service_levels"?',
    ),
    "no policy at all": ("types: {minor: {}}\n", 'field "policy" is missing in the policy'),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_in_a_policy_is_named_with_its_line(text: str, said: str):
    with pytest.raises(InvalidInput) as refused:
        load_policy(text)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("numbering", "kind", "version"),
    [
        ("any", "minor", "anything-goes"),
        ("major.minor", "minor", "1.4"),
        ("major.minor", "major", "2.0"),
        ("major.minor.patch", "emergency", "1.4.2"),
        ("calendar", "minor", "2026.11"),
    ],
)
def test_a_version_that_is_numbered_as_the_policy_says_is_taken(numbering: str, kind: str, version: str):
    policy = load_policy(POLICY.replace("major.minor", numbering))
    policy.check_version(ReleaseType(kind), version)
    with pytest.raises(InvalidInput, match="is not numbered"):
        load_policy(POLICY).check_version(ReleaseType.MINOR, "1.4.2-rc1")


def test_a_major_release_begins_a_new_line():
    with pytest.raises(InvalidInput, match=r'version "2.1" is no major release'):
        load_policy(POLICY).check_version(ReleaseType.MAJOR, "2.1")


def test_a_type_that_the_policy_does_not_have_is_refused():
    with pytest.raises(InvalidInput, match="the policy house has no major releases"):
        load_policy(POLICY).of(ReleaseType.MAJOR)
