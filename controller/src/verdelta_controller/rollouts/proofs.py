"""What an auditor asks of the evidence log as a whole: its key, its state, and whether it holds from the start."""

from collections.abc import Sequence
from typing import NamedTuple

from ..foundation import notes
from ..foundation.database import Database
from ..foundation.errors import InvalidInput
from ..foundation.evidence import EvidenceLog, LogBroken
from ..foundation.evidence_check import verify_log
from ..foundation.notes import Checkpoint
from ..foundation.signing import BadSignature


class LogFound(NamedTuple):
    """What a check found: so many entries that hold, or the first one that does not and why.

    `agreed` is the size of the largest of the given checkpoints that the log agrees with.
    """

    holds: bool
    entries: int
    root: str
    agreed: int | None
    first_broken: int | None = None
    reason: str | None = None


class Proofs:
    """The use-cases of auditors around the log."""

    def __init__(self, database: Database, evidence: EvidenceLog) -> None:
        self._database = database
        self._evidence = evidence

    def key(self) -> str:
        """Return what an auditor has to trust, as text: the log's name, the hash of its key, and the key."""
        return str(self._evidence.verifier)

    def checkpoint(self) -> str:
        """Return the signed state of the log, to be kept where the controller cannot change it."""
        with self._database.reading() as session:
            return self._evidence.checkpoint(session)

    def check(self, kept: Sequence[str]) -> LogFound:
        """Compute the whole log anew, and hold it against checkpoints that were kept elsewhere.

        Raises InvalidInput for a checkpoint that this log's key has not signed.
        """
        checkpoints = [self._opened(number, note) for number, note in enumerate(kept, 1)]
        try:
            with self._database.reading() as session:
                found = verify_log(session, checkpoints)
        except LogBroken as error:
            return LogFound(False, error.index, "", None, error.index, error.message)
        agreed = found.checkpoint.size if found.checkpoint else None
        return LogFound(True, found.size, found.root.hex(), agreed)

    def _opened(self, number: int, note: str) -> Checkpoint:
        try:
            return notes.open_checkpoint(note, self._evidence.verifier)
        except BadSignature as error:
            raise InvalidInput(f"checkpoint {number}: {error.message}") from error
