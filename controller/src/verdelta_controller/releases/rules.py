"""Where a release stands in its life, and which step may follow which.  Pure."""

import hashlib
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Any

from verdelta_agent.model import canonical

from ..foundation.states import StateTable
from .expectations import Expectation


class ReleaseState(StrEnum):
    """The life of a release."""

    DRAFT = "draft"
    BUILT = "built"
    IN_TEST = "in_test"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    AUTHORISED = "authorised"
    DEPLOYING = "deploying"
    SUSPENDED = "suspended"
    DEPLOYED = "deployed"
    EARLY_LIFE_SUPPORT = "early_life_support"
    CLOSED = "closed"
    BACKING_OUT = "backing_out"
    BACKED_OUT = "backed_out"
    CANCELLED = "cancelled"


_S = ReleaseState

IN_DEPLOYMENT = frozenset((_S.AUTHORISED, _S.DEPLOYING, _S.SUSPENDED, _S.DEPLOYED, _S.BACKING_OUT, _S.BACKED_OUT))
_OWING = IN_DEPLOYMENT | {_S.EARLY_LIFE_SUPPORT}
OPEN_TO_BUILDING = frozenset(
    (_S.DRAFT, _S.BUILT, _S.IN_TEST, _S.REJECTED, _S.ACCEPTED)
)  # a new package voids sign-offs
SIGNED_NO_MORE = frozenset((_S.REJECTED, _S.CANCELLED, _S.CLOSED))

# Within IN_DEPLOYMENT a release stands where its roll-outs stand (`ReleaseService.follow`): several may be under way.
# A new build takes a release back to built, from wherever it is open to it.
RELEASE_STATES = StateTable(
    "a release",
    {
        _S.DRAFT: (_S.BUILT, _S.CANCELLED),
        _S.BUILT: (_S.IN_TEST, _S.AUTHORISED, _S.CANCELLED),
        _S.IN_TEST: (_S.ACCEPTED, _S.REJECTED, _S.BUILT, _S.AUTHORISED, _S.CANCELLED),
        _S.REJECTED: (_S.BUILT, _S.CANCELLED),
        _S.ACCEPTED: (_S.AUTHORISED, _S.BUILT, _S.CANCELLED),
        _S.AUTHORISED: (_S.DEPLOYING, _S.CANCELLED),
        _S.DEPLOYING: (_S.SUSPENDED, _S.DEPLOYED, _S.BACKING_OUT),
        _S.SUSPENDED: (_S.DEPLOYING, _S.BACKING_OUT, _S.CANCELLED),
        _S.DEPLOYED: (_S.DEPLOYING, _S.BACKING_OUT, _S.EARLY_LIFE_SUPPORT, _S.CLOSED),
        _S.EARLY_LIFE_SUPPORT: (_S.BACKING_OUT, _S.CLOSED),
        _S.BACKING_OUT: (_S.BACKED_OUT, _S.SUSPENDED),
        _S.BACKED_OUT: (_S.DEPLOYING, _S.CLOSED),
        _S.CLOSED: (),
        _S.CANCELLED: (),
    },
)


def is_under_test(state: ReleaseState, passed: Collection[str]) -> bool:
    """Return whether a package is being tested: it is in test, or went out without its acceptance, and owes it."""
    return state is _S.IN_TEST or (state in _OWING and _S.ACCEPTED.value not in passed)


def change_document(changes: Sequence[Expectation]) -> list[dict[str, Any]]:
    """Return a change as the JSON that is stored, frozen and exported."""
    return [change.document() for change in changes]


def change_digest(changes: Sequence[Expectation]) -> str:
    """Return the SHA-256 (hex) by which a change is frozen."""
    return hashlib.sha256(canonical(change_document(changes))).hexdigest()


def signed_subject(name: str, version: str, package: str, policy: str, change: str, purpose: str) -> str:
    """Return the SHA-256 (hex) of all that a sign-off binds: given are the digests of package, policy and change.

    `change` is that of the rehearsed change, "" where there was none.
    """
    bound = {
        "release": name,
        "version": version,
        "package": package,
        "policy": policy,
        "change": change,
        "purpose": purpose,
    }
    return hashlib.sha256(canonical(bound)).hexdigest()
