"""Which message of an agent counts.  Pure: the signature was verified before, what follows from it is done after.

A host and its key have one history: every message says how far it had come, and is the next one or is refused.
"""

from typing import NamedTuple

from verdelta_agent.wire import GENESIS, NUMBER, Message

from ..foundation.errors import Conflict, InvalidInput, NotAllowed


class WrongAudience(NotAllowed):
    """This message is for another controller."""


class WrongHost(NotAllowed):
    """This message speaks of another host than the one whose key signed it."""


class WrongEpoch(NotAllowed):
    """This message was made with a key of an earlier enrolment, or of one that is not known here."""


class Replayed(Conflict):
    """This message is older than the last one that was accepted from this host."""


class Forked(Conflict):
    """Two machines hold this identity, or one was restored from a backup."""


class LastMessage(NamedTuple):
    """Where a host's key stands: the last message accepted from it, which after enrolment is the enrolment.

    A key that never enrolled, such as an agentless host's, stands at 0 and GENESIS.  `forked` is set once two histories
    were seen: nothing more is accepted from that key.
    """

    host_id: str
    epoch: int
    sequence: int = 0
    digest: str = GENESIS
    forked: bool = False


class Accepted(NamedTuple):
    """The message is the next one of its host: it takes effect, and `last` is to be remembered."""

    last: LastMessage


class Duplicate(NamedTuple):
    """The message is the last accepted one again, its answer was lost: no second effect, the same answer."""

    last: LastMessage


def accept(
    message: Message, digest: str, last: LastMessage, audience: str, same_number: str = ""
) -> Accepted | Duplicate:
    """Decide on a message, which `digest` names, by where the key that signed it stands.

    `same_number` is the digest of the message accepted from this key under this number, "" when there is none.
    A host gives a number to one message only, so another one under the same number is another machine's.

    The message has to name the last accepted message as the one before it; or, where the host missed an answer, to
    have that one among those that it knows to be unanswered.  A copy of the host cannot know a message that it did
    not make.
    Raises WrongAudience, WrongHost, WrongEpoch, Replayed, Forked, and InvalidInput for a number that nobody counts to.
    """
    _check_head(message, last, audience)
    if digest == last.digest:
        return Duplicate(last)
    taken = last.digest if message.sequence == last.sequence else same_number
    if taken and taken != digest and last.sequence:
        raise _forked(last, f"there are two different messages {message.sequence} of the same key")
    if message.sequence <= last.sequence:
        raise Replayed(f"message {message.sequence} of this host came after its message {last.sequence}")
    if last.digest != message.previous and last.digest not in _unanswered(message):
        raise _forked(last, f"message {message.sequence} does not know message {last.sequence} of the same key")
    return Accepted(last._replace(sequence=message.sequence, digest=digest))


def _check_head(message: Message, last: LastMessage, audience: str) -> None:
    if message.audience != audience:
        raise WrongAudience()
    if message.host_id != last.host_id:
        raise WrongHost()
    if message.epoch != last.epoch:
        raise WrongEpoch()
    if not 0 < message.sequence <= NUMBER:
        raise InvalidInput("the sequence number of this message is out of range")
    if last.forked:
        raise _forked(last, "nothing more is accepted from this key")


def _forked(last: LastMessage, reason: str) -> Forked:
    return Forked(
        f"two machines hold the identity {last.host_id}, or one was restored from a backup: {reason}",
        mend="Find the copy, and enrol this host again: verdelta host invite",
    )


def _unanswered(message: Message) -> list[object]:
    """Return the digests that the host made since the message that `previous` names."""
    digests = message.body.get("unanswered")
    return digests if isinstance(digests, list) else []
