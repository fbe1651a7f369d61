"""A file of evidence in which anything was changed proves nothing, whoever changed it."""

import base64
import copy
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.rolled_out import RealRollouts
from tests.support.web import a_controller

from verdelta_agent.model import canonical
from verdelta_controller.foundation import notes
from verdelta_controller.foundation.notes import NoteVerifier
from verdelta_controller.foundation.signing import SigningKey
from verdelta_controller.rollouts import bundle
from verdelta_controller.rollouts.bundle_check import verify
from verdelta_controller.rollouts.bundle_report import Report
from verdelta_controller.rollouts.tables import Deployment

EDITS = 1000
Document = dict[str, Any]


class Proved:
    """A real roll-out to two hosts, one of which shows more than was released, and a file of its evidence."""

    def __init__(self, real: RealRollouts) -> None:
        hosts = [real.host("web-07"), real.host("web-08")]
        real.release()

        def install(action: str, deployment: Deployment) -> None:
            folder = real.watched(deployment.host_name)
            (folder / "labapp.conf").write_text("colour = blue\n")
            if deployment.host_name == "web-08":
                (folder / "eve").write_text("somebody else\n")

        real.install = install
        self.file = real.export(real.roll_out("1.1", hosts))
        self.trusted = real.trusted
        self.origin = real.services.evidence.origin
        self.key = real.services.signing_key

    def evidence(self) -> Document:
        """Return what the file says, to be changed."""
        return copy.deepcopy(json.loads(self.file)["evidence"])

    def sealed(self, evidence: Document, key: SigningKey | None = None) -> bytes:
        """Return a file that says this instead, sealed as only the controller could."""
        to_be_sealed = bundle._to_be_sealed(canonical(evidence))
        seal = notes.sign_note(to_be_sealed, self.origin, key or self.key)
        return _file(evidence, seal)

    def check(self, data: bytes) -> Report:
        return verify(data, self.trusted)


def _file(evidence: Any, seal: str) -> bytes:
    return canonical({"format": "verdelta-evidence", "version": 1, "evidence": evidence, "seal": seal}) + b"\n"


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proved]:
    folder = tmp_path_factory.mktemp("proved")
    with a_controller(folder) as services:
        yield Proved(RealRollouts(services, folder))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proved]:
    """The same of another controller."""
    folder = tmp_path_factory.mktemp("other")
    with a_controller(folder) as services:
        yield Proved(RealRollouts(services, folder))


def _reason(report: Report) -> str:
    """Return why the evidence does not hold."""
    assert not report.holds
    return next(str(statement) for statement in report.statements if not statement.holds)


def test_an_untouched_file_holds(proved: Proved) -> None:
    report = proved.check(proved.file)
    assert report.holds
    assert [(host.name, host.state) for host in report.hosts] == [("web-07", "verified"), ("web-08", "at_variance")]
    assert json.loads(json.dumps(report.document()))["holds"] is True


def test_the_same_file_sealed_again_holds(proved: Proved) -> None:
    """What the tests below show of changed files, they would not show if sealing alone broke them."""
    assert proved.check(proved.sealed(proved.evidence())).holds


# -- changed by whoever passes it on


def test_no_byte_of_it_can_be_another_one(proved: Proved) -> None:
    chance = random.Random(20261122)  # noqa: S311 - not for secrets
    for _ in range(EDITS):
        data = bytearray(proved.file)
        place = chance.randrange(len(data))
        data[place] ^= chance.randrange(1, 256)
        assert not proved.check(bytes(data)).holds, (place, bytes(data[place - 30 : place + 30]))


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, -2, -1])
def test_a_file_that_was_cut_short_is_refused(proved: Proved, kept: float) -> None:
    length = int(len(proved.file) * kept) if isinstance(kept, float) else kept
    assert "the file is the evidence of a roll-out, whole" in _reason(proved.check(proved.file[:length]))


@pytest.mark.parametrize(
    "written",
    [
        lambda data: data + b"\n",
        lambda data: b" " + data,
        lambda data: data.replace(b":1}", b": 1}"),
        lambda data: json.dumps(json.loads(data), indent=1).encode(),
        lambda data: json.dumps(json.loads(data), sort_keys=False).encode(),
        lambda data: data.replace(b'"version":1}', b'"version":1,"version":1}'),
        lambda data: data.replace(b'"version":1}', b'"version":1.0}'),
        lambda data: data.replace(b"web-07", rb"\u0077eb-07"),
        lambda data: data.replace(b'{"evidence":', b'{"comment":"","evidence":'),
        lambda data: b"\xef\xbb\xbf" + data,
    ],
)
def test_the_same_in_another_form_is_refused(proved: Proved, written: Callable[[bytes], bytes]) -> None:
    data = written(proved.file)
    assert data != proved.file
    assert not proved.check(data).holds


def test_a_seal_in_another_form_is_refused(proved: Proved) -> None:
    seal = json.loads(proved.file)["seal"]
    start, encoded = seal.removesuffix("\n").rsplit(" ", 1)
    assert encoded.endswith("=")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    sloppy = encoded[:-2] + letters[letters.index(encoded[-2]) + 1] + "="
    assert base64.b64decode(sloppy) == base64.b64decode(encoded)
    for changed in (f"{start} {sloppy}\n", f"{seal}{seal.splitlines()[-1]}\n", seal.replace("verdelta/", "verdelta:")):
        assert not proved.check(_file(proved.evidence(), changed)).holds


def test_what_another_controller_sealed_is_refused(proved: Proved, other: Proved) -> None:
    assert "not signed by" in _reason(verify(proved.file, other.trusted))
    assert verify(proved.file, [*other.trusted, *proved.trusted]).holds
    assert "no key was given" in _reason(verify(proved.file, []))
    same_name = [NoteVerifier(proved.origin, other.key.public_key)]
    assert "not signed by" in _reason(verify(proved.file, same_name))


def test_only_who_has_the_controllers_key_can_seal(proved: Proved) -> None:
    assert "not signed by" in _reason(proved.check(proved.sealed(proved.evidence(), SigningKey.generate())))


# -- changed by whoever has the controller's key: what hosts have signed, and what the log has recorded, stays so


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    elif value != {} and value != []:
        yield path


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def test_no_value_in_it_can_be_another_one_even_under_a_new_seal(proved: Proved) -> None:
    chance = random.Random(20261123)  # noqa: S311 - not for secrets
    leaves = list(_leaves(proved.evidence()))
    for _ in range(EDITS):
        evidence = proved.evidence()
        path = chance.choice(leaves)
        holder, old = _at(evidence, path[:-1]), _at(evidence, path)
        if isinstance(old, str) and old:
            place = chance.randrange(len(old))
            new: Any = old[:place] + chance.choice([c for c in "0aZ+/= " if c != old[place]]) + old[place + 1 :]
        else:
            new = chance.choice([value for value in (None, True, 1, 2, "", "x") if value is not old and value != old])
        holder[path[-1]] = new
        assert not proved.check(proved.sealed(evidence)).holds, (path, old, new)


def test_nothing_in_it_can_be_left_out_even_under_a_new_seal(proved: Proved) -> None:
    """Except entries of the log that say nothing which the proof rests on, such as that a wave was closed."""
    whole = proved.evidence()
    for name in ("hosts", "messages", "rows", "entries"):
        for key in list(whole[name]) if isinstance(whole[name], dict) else range(len(whole[name])):
            evidence = proved.evidence()
            gone = evidence[name].pop(key)
            spare = name == "entries" and gone["kind"] in ("wave-closed", "install-ended")
            assert proved.check(proved.sealed(evidence)).holds is spare, (name, key)


def _entry(evidence: Document, kind: str, number: int = 0) -> Document:
    return [entry for entry in evidence["entries"] if entry["kind"] == kind][number]


def _swap(document: Any, one: Any, other: Any) -> None:
    document[one], document[other] = document[other], document[one]


def _swap_before_and_after(evidence: Document) -> None:
    _swap(_entry(evidence, "verdict")["content"], "before_envelope", "after_envelope")


def _swap_messages(evidence: Document) -> None:
    content = _entry(evidence, "verdict")["content"]
    _swap(evidence["messages"], content["before_envelope"], content["after_envelope"])


def _swap_hosts(evidence: Document) -> None:
    _swap(evidence["hosts"], 0, 1)


def _swap_names(evidence: Document) -> None:
    first, second = evidence["hosts"]
    first["name"], second["name"] = second["name"], first["name"]


def _swap_keys(evidence: Document) -> None:
    first, second = evidence["hosts"]
    first["keys"], second["keys"] = second["keys"], first["keys"]


def _remove_host(evidence: Document) -> None:
    del evidence["hosts"][1]


def _add_host(evidence: Document) -> None:
    evidence["hosts"].append({"host_id": "0" * 32, "name": "web-09", "keys": []})


def _remove_item(evidence: Document) -> None:
    items = _entry(evidence, "verdict", 1)["content"]["verdict"]["items"]
    items[:] = [item for item in items if item["outcome"] != "unexpected"]


def _verified_instead(evidence: Document) -> None:
    _entry(evidence, "verdict", 1)["content"]["verdict"]["state"] = "verified"


def _swap_entries(evidence: Document) -> None:
    _swap(evidence["entries"], 0, 1)


def _swap_contents(evidence: Document) -> None:
    first, second = (_entry(evidence, "verdict", number) for number in (0, 1))
    first["content"], second["content"] = second["content"], first["content"]


def _authorise_more(evidence: Document) -> None:
    evidence["release"]["authorised_change"].append({"section": "system.files", "key": "*", "after": "any"})


def _add_rows(evidence: Document) -> None:
    digest = next(iter(evidence["rows"]))
    evidence["rows"]["0" * 64] = evidence["rows"][digest]


def _add_message(evidence: Document) -> None:
    evidence["messages"]["0" * 64] = next(iter(evidence["messages"].values()))


def _another_comment(evidence: Document) -> None:
    evidence["release"]["source"] = evidence["release"]["source"].replace("# what", "# not what")


FORGERIES = {
    _swap_before_and_after: "is not in that log",
    _swap_messages: "the log does not say that this message was received",
    _swap_hosts: "the hosts: not the same as recorded",
    _swap_names: "the hosts: not the same as recorded",
    _swap_keys: "web-07: its keys are those that the log names",
    _remove_host: "the hosts: not the same as recorded",
    _add_host: "the hosts: not the same as recorded",
    _remove_item: "is not in that log",
    _verified_instead: "is not in that log",
    _swap_entries: "not in the order of the log",
    _swap_contents: "is not in that log",
    _authorise_more: "the digest of the change: not the same as recorded",
    _add_rows: "the rows under 000000000000 have another digest",
    _add_message: "the messages: not the same as recorded",
    _another_comment: "the digest of release.yaml: not the same as recorded",
}


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__.strip("_"))
def test_a_forgery_is_refused_and_the_reason_names_it(proved: Proved, forge: Callable[[Document], None]) -> None:
    evidence = proved.evidence()
    forge(evidence)
    assert FORGERIES[forge] in _reason(proved.check(proved.sealed(evidence)))
    assert "the seal is that of other evidence" in _reason(
        proved.check(_file(evidence, json.loads(proved.file)["seal"]))
    )


def test_an_entry_of_another_log_is_refused(proved: Proved, other: Proved) -> None:
    for take_place in (False, True):
        evidence, foreign = proved.evidence(), _entry(other.evidence(), "verdict")
        entry = _entry(evidence, "verdict")
        entry.update(foreign if take_place else {"content": foreign["content"]})
        assert "is not in that log" in _reason(proved.check(proved.sealed(evidence)))


def test_the_log_of_another_controller_is_refused(proved: Proved, other: Proved) -> None:
    assert "the state of its evidence log is signed" in _reason(proved.check(proved.sealed(other.evidence())))


def test_what_hosts_said_to_another_controller_is_refused(proved: Proved, other: Proved) -> None:
    evidence = other.evidence()
    checkpoint = notes.open_checkpoint(evidence["checkpoint"], other.trusted[0])
    mine = notes.Checkpoint(proved.origin, checkpoint.size, checkpoint.root)
    evidence["checkpoint"] = notes.sign_checkpoint(mine, proved.key)
    report = proved.check(proved.sealed(evidence))
    assert "this enrolment is for another controller" in _reason(report)
    assert [statement.host for statement in report.statements if not statement.holds] == ["web-07", "web-08"]


def test_a_checkpoint_with_more_signatures_or_another_spelling_is_refused(proved: Proved) -> None:
    note = proved.evidence()["checkpoint"]
    for changed in (note + note.splitlines()[-1] + "\n", note.replace("\n\n", "\nmore\n\n"), note + "\n"):
        evidence = proved.evidence()
        evidence["checkpoint"] = changed
        assert "evidence log is signed" in _reason(proved.check(proved.sealed(evidence)))


# -- hostile files


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"null\n",
        b"[]\n",
        b"{}\n",
        b"\xff\xfe",
        b"NaN\n",
        b"1e999\n",
        b"9" * 5000 + b"\n",
        b"[" * 200_000 + b"]" * 200_000 + b"\n",
        b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"\n",
        b'"\\ud800"\n',
        b'{"evidence":{},"format":"verdelta-evidence","seal":"","version":1}\n',
        b'{"evidence":{},"format":"verdelta-evidence","seal":"","version":2}\n',
    ],
    ids=lambda data: repr(data[:20]),
)
def test_whatever_is_given_is_refused_and_never_a_crash(proved: Proved, data: bytes) -> None:
    assert "the file is the evidence of a roll-out, whole and in its one form" in _reason(proved.check(data))


def test_a_file_larger_than_any_evidence_is_not_even_read(proved: Proved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LIMIT", len(proved.file) - 1)
    assert "evidence has at most" in _reason(proved.check(proved.file))


@pytest.mark.parametrize("value", [None, 1, "", "x", [], {}, ["x"], {"x": 1}, "\ud800", 1.5, True, 1 << 70])
def test_a_sealed_file_with_anything_anywhere_is_refused_and_never_a_crash(proved: Proved, value: Any) -> None:
    """Every place down to the third level, and the fields of entries, hold something that does not belong there."""
    paths = {path[:depth] for path in _leaves(proved.evidence()) for depth in range(1, 5) if len(path) >= depth}
    for path in sorted(paths, key=repr):
        evidence = proved.evidence()
        if canonical(_at(evidence, path)) == canonical(value):
            continue
        _at(evidence, path[:-1])[path[-1]] = value
        assert not proved.check(proved.sealed(evidence)).holds, path


def test_checking_takes_the_file_and_the_key_and_neither_database_nor_network(proved: Proved, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(proved.file)
    program = f"""
import sys
from pathlib import Path
from verdelta_controller.foundation.notes import NoteVerifier
from verdelta_controller.rollouts.bundle_check import verify
report = verify(Path("file").read_bytes(), [NoteVerifier.parse({str(proved.trusted[0])!r})])
heavy = [name for name in ("sqlalchemy", "sqlmodel", "fastapi", "paramiko", "httpx", "dbos") if name in sys.modules]
assert report.holds and not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60)
