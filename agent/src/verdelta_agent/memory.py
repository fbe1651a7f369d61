"""What each section was read from last time: where all of that is still the same, so is the section.

A collector is a function of what the door to the host answers, and of nothing else.  So the questions that it asked
are kept, with one digest over all the answers.  The next audit asks them again; where the digest is the same, the
section is as it was, and nothing has to be imported, parsed, or hashed row by row.  Every file is read as a whole and
hashed each time: neither its size nor its time is taken for its content.

Losing the memory is no loss: everything is collected.
"""

import hashlib
import json
import os
import sys
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from .deadline import DeadlineExceeded, within
from .gather import late
from .host import CHUNK, QUESTIONS, Host
from .model import FAILED, Digested, Rows, Section

Question = Union[str, List[Any]]  # "method path", or [method, arguments, named arguments]


class Remembered(NamedTuple):
    """One section as it was: the questions that led to it, a digest over the answers, and what came of them.

    Of a section whose answers move by themselves (uptime, free memory) there are no questions: it is collected.
    """

    questions: Optional[Sequence[Question]]
    answers: str
    deadline: float
    status: str
    digest: str
    error: Optional[str]
    volatile: Rows

    @property
    def digested(self) -> Digested:
        """Return what a check-in carries."""
        return Digested(self.status, self.digest, self.error)


class Memory:
    """The sections of the last audit, each by its name.  `changed` says whether there is something to keep."""

    def __init__(self, remembered: Mapping[str, Remembered] = {}) -> None:
        self.remembered: Dict[str, Remembered] = dict(remembered)
        self.changed = False

    def recall(self, host: Host, name: str) -> Union[Remembered, Section, None]:
        """Return a section that is as it was, or None where it has to be collected.

        One that is late is failed: who collected it would wait as long for the same once more.
        """
        known = self.remembered.get(name)
        if known is None or known.questions is None:
            return None
        questions = known.questions
        try:
            answers = within(known.deadline, lambda: _ask_again(host, questions))
        except DeadlineExceeded:
            return late(known.deadline)
        except Exception:  # noqa: BLE001 - then the collector meets it, and says what it is
            return None
        return known if answers == known.answers else None

    def learn(self, name: str, witness: "Witness", deadline: float, section: Section, digest: str) -> None:
        """Keep a section that was just collected through a witness."""
        old = self.remembered.get(name)
        if section.status == FAILED:
            self.changed = self.remembered.pop(name, None) is not None or self.changed
        elif old is not None and (old.status, old.digest, old.error) == (section.status, digest, section.error):
            if old.questions is not None:  # other answers, the same section: it would be asked in vain each time
                self.remembered[name] = old._replace(questions=None, answers="", volatile={})
                self.changed = True
        else:
            outcome = (section.status, digest, section.error, section.volatile)
            self.remembered[name] = Remembered(witness.questions, witness.answers(), deadline, *outcome)
            self.changed = True


class Witness(Host):
    """A host of which every question and every answer is taken down."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.watched = host.watched
        self.running = host.running
        self.questions: List[Question] = []
        self._answers = _Answers()

    def ask(self, method: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Return or raise what the host answers."""
        plain = len(arguments) == 1 and not named and isinstance(arguments[0], str)
        kept = [method, list(map(_kept, arguments)), dict(named)]
        self.questions.append("%s %s" % (method, arguments[0]) if plain else kept)
        try:
            answer = getattr(self.host, method)(*arguments, **named)
        except OSError as error:
            self._answers.refuse(error)
            raise
        self._answers.add(method, answer)
        return answer

    def answers(self) -> str:
        """Return the digest over all the answers so far."""
        return self._answers.digest()


def _question(method: str) -> Any:
    def ask(self: Witness, *arguments: Any, **named: Any) -> Any:
        return self.ask(method, arguments, named)

    return ask


for _method in QUESTIONS:
    setattr(Witness, _method, _question(_method))


def _ask_again(host: Host, questions: Sequence[Question]) -> str:
    """Return the digest over the answers that the same questions get now."""
    answers = _Answers()
    doors = {method: getattr(host, method) for method in QUESTIONS}
    for question in questions:
        try:
            if isinstance(question, str):
                method, _, path = question.partition(" ")
                answers.add(method, doors[method](path))
            else:
                method, arguments, named = question
                answers.add(method, doors[method](*map(_given, arguments), **named))
        except OSError as error:
            answers.refuse(error)
    return answers.digest()


def _kept(argument: Any) -> Any:
    """Return an argument as JSON has it: bytes are an object of hex digits."""
    return {"hex": argument.hex()} if isinstance(argument, bytes) else argument


def _given(kept: Any) -> Any:
    return bytes.fromhex(kept["hex"]) if isinstance(kept, dict) else kept


class _Answers:
    """A digest over answers, each of which is known by its form and length, so that none runs into another."""

    def __init__(self) -> None:
        self._contents = hashlib.sha256()
        self._listed: List[str] = []

    def add(self, method: str, answer: Any) -> None:
        """Take in what the host answered."""
        if method == "read_bytes":
            self._contents.update(answer)
            self._listed.append("%d" % len(answer))
        elif method == "lstat":
            self._listed.append("%s %o %d %d %d" % answer)
        elif method == "local_path":  # what is there counts; it is hashed before the collector opens it
            self._listed.append(_content_digest(answer))
        else:
            self._listed.append(repr(answer))

    def refuse(self, error: OSError) -> None:
        """Take in that it answered with an error."""
        self._listed.append("error %r %r" % (error.errno, error.strerror or str(error)))

    def digest(self) -> str:
        """Return the digest over all of them."""
        listed = "\n".join(self._listed).encode("utf-8", "backslashreplace")  # a line each: repr() has no line ends
        return hashlib.sha256(self._contents.digest() + listed).hexdigest()


def _content_digest(path: str) -> str:
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            chunk = file.read(16 * CHUNK)
            if not chunk:
                return hashed.hexdigest()
            hashed.update(chunk)


# -- on disk


def load(content: Optional[bytes], host: Host) -> Memory:
    """Return the memory in the content of its file; an empty one where it is of another agent, or damaged."""
    checksum, _, text = (content or b"").partition(b"\n")
    if checksum != _checksum(text, host):
        return Memory()
    kept: Dict[str, List[Any]] = json.loads(text.decode("ascii"))
    return Memory({name: Remembered(*fields) for name, fields in kept.items()})


def dump(memory: Memory, host: Host) -> bytes:
    """Return the content of the memory's file."""
    text = json.dumps(memory.remembered, separators=(",", ":")).encode("ascii")
    return _checksum(text, host) + b"\n" + text


def _checksum(text: bytes, host: Host) -> bytes:
    """Return a digest over a memory and all that a section depends on beside the answers of the host."""
    about = repr((_code(), sys.version, list(host.watched)))
    return hashlib.sha256(about.encode("utf-8", "backslashreplace") + b"\n" + text).hexdigest().encode("ascii")


def _code() -> Tuple[Any, ...]:
    """Return what tells this agent's code from any other on this machine: every file that it is made of."""
    folder = os.path.dirname(os.path.abspath(__file__))
    archive = os.path.dirname(folder)
    if os.path.isfile(archive):
        return _stamp(archive)
    paths = (os.path.join(place, name) for place, _, names in os.walk(folder) for name in names if name[-3:] == ".py")
    return tuple(map(_stamp, sorted(paths)))


def _stamp(path: str) -> Tuple[Any, ...]:
    status = os.stat(path)
    return (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
