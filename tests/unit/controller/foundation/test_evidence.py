"""The evidence log grows at its end alone, and whatever else is done to it is noticed and placed."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel

from verdelta_controller.foundation import evidence_check, merkle, notes
from verdelta_controller.foundation.database import Database
from verdelta_controller.foundation.errors import InvalidInput, NotFound, TooLarge
from verdelta_controller.foundation.evidence import EvidenceLog, LogBroken, Record, document
from verdelta_controller.foundation.evidence_check import verify_log
from verdelta_controller.foundation.merkle import leaf_hash
from verdelta_controller.foundation.signing import SigningKey

LOG = EvidenceLog(SigningKey(b"k" * 32), "verdelta.example/log")
NOON = datetime(2026, 11, 2, 12, 0, 0, 123456, tzinfo=UTC)
TABLES = [SQLModel.metadata.tables[name] for name in ("evidence_entry", "evidence_node", "evidence_head")]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    SQLModel.metadata.create_all(database.engine, tables=TABLES)
    yield database
    database.close()


def _record(number: int) -> Record:
    return Record("verdict", f"host-{number}", {"number": number, "outcome": "verified"})


def _fill(database: Database, count: int) -> None:
    with database.transaction() as session:
        LOG.append_many(session, [_record(number) for number in range(count)], NOON)


def _checkpoint(database: Database) -> notes.Checkpoint:
    with database.reading() as session:
        return notes.open_checkpoint(LOG.checkpoint(session), LOG.verifier)


def _change(database: Database, *statements: str, **values: Any) -> None:
    with database.transaction() as session:
        for statement in statements:
            session.execute(text(statement), values)


def _verify(database: Database, *checkpoints: notes.Checkpoint) -> evidence_check.Checked:
    with database.reading() as session:
        return verify_log(session, checkpoints)


# -- growing


def test_entries_are_numbered_without_gaps_in_the_order_they_were_recorded(database: Database) -> None:
    with database.transaction() as session:
        assert [LOG.append(session, "enrolled", "host-1", {"n": n}, NOON) for n in range(3)] == [0, 1, 2]
        assert LOG.append_many(session, [_record(n) for n in range(4)], NOON) == range(3, 7)
        assert LOG.append_many(session, [], NOON) == range(0)
    with database.reading() as session:
        assert LOG.size(session) == 7


def test_an_entry_is_kept_as_it_was_recorded(database: Database) -> None:
    content = {"name": "caf\u00e9", "list": [1, None, True, {"a": "\u0000"}], "b": {}}
    with database.transaction() as session:
        index = LOG.append(
            session, "sign-off", "release \u00fc 1.1", content, NOON.astimezone(timezone(timedelta(hours=5)))
        )
    with database.reading() as session:
        entry = LOG.entry(session, index)
        assert (entry.kind, entry.subject, entry.recorded_at) == ("sign-off", "release \u00fc 1.1", NOON)
        assert json.loads(entry.content) == content
        assert entry.leaf_hash == leaf_hash(document(entry.kind, entry.subject, entry.recorded_at, entry.content))


def test_a_leaf_is_the_canonical_json_of_the_whole_entry() -> None:
    assert document("verdict", "h1", NOON, b'{"a":1}') == (
        b'{"content":{"a":1},"kind":"verdict","recorded_at":"2026-11-02T12:00:00.123456Z","subject":"h1"}'
    )


def test_what_is_rolled_back_leaves_neither_entry_nor_gap(database: Database) -> None:
    _fill(database, 5)
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        LOG.append(session, "verdict", "host-6", {}, NOON)
        raise ZeroDivisionError
    with database.transaction() as session:
        assert LOG.append(session, "verdict", "host-7", {}, NOON) == 5
    assert _verify(database).size == 6


def test_one_by_one_or_together_the_log_is_the_same(database: Database) -> None:
    with database.transaction() as session:
        for number in range(13):
            LOG.append(session, *_record(number), NOON)
    leaves = [
        leaf_hash(document("verdict", f"host-{n}", NOON, b'{"number":%d,"outcome":"verified"}' % n)) for n in range(13)
    ]
    together = merkle.Frontier()
    for leaf in leaves:
        together.append(leaf)
    assert _checkpoint(database) == ("verdelta.example/log", 13, together.root())


def test_writers_at_the_same_time_wait_for_each_other(database: Database) -> None:
    begin = threading.Barrier(4)
    indexes: list[int] = []

    def write(writer: int) -> None:
        begin.wait()
        for number in range(8):
            with database.transaction() as session:
                records = [Record("verdict", f"writer-{writer}", {"n": number, "part": part}) for part in range(3)]
                indexes.extend(LOG.append_many(session, records, NOON))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(indexes) == list(range(4 * 8 * 3))
    assert _verify(database).size == 4 * 8 * 3


@pytest.mark.parametrize(
    ("kind", "subject"),
    [("", "h1"), ("verdict", ""), ("verdict", "x" * 201), ("a\nb", "h1"), ("v", "\0"), ("v", "\ud800")],
)
def test_evidence_says_what_it_is_about(database: Database, kind: str, subject: str) -> None:
    with database.transaction() as session, pytest.raises(InvalidInput):
        LOG.append(session, kind, subject, {}, NOON)


def test_evidence_of_any_size_is_not_taken(database: Database) -> None:
    with database.transaction() as session, pytest.raises(TooLarge):
        LOG.append(session, "verdict", "h1", {"text": "x" * (1 << 20)}, NOON)


def test_entries_are_found_by_kind_and_subject_the_newest_first(database: Database) -> None:
    _fill(database, 4)
    with database.transaction() as session:
        LOG.append(session, "waiver", "host-2", {}, NOON)
    with database.reading() as session:
        assert [entry.index for entry in LOG.entries(session, limit=2)] == [4, 3]
        assert [entry.index for entry in LOG.entries(session, subject="host-2")] == [4, 2]
        assert [entry.index for entry in LOG.entries(session, kind="verdict", before=3)] == [2, 1, 0]
        with pytest.raises(NotFound):
            LOG.entry(session, 5)


# -- proving


def test_every_entry_is_proven_to_be_in_the_log_of_every_later_size(database: Database) -> None:
    _fill(database, 21)
    with database.reading() as session:
        leaves = [LOG.entry(session, index).leaf_hash for index in range(21)]
        for size in (1, 2, 7, 8, 20, 21):
            root = _root(leaves[:size])
            for index in range(size):
                proof = LOG.inclusion_proof(session, index, size)
                assert merkle.verify_inclusion(leaves[index], index, size, proof, root)


def test_every_earlier_log_is_proven_to_be_the_beginning(database: Database) -> None:
    _fill(database, 21)
    with database.reading() as session:
        leaves = [LOG.entry(session, index).leaf_hash for index in range(21)]
        for old in range(1, 22):
            proof = LOG.consistency_proof(session, old, 21)
            assert merkle.verify_consistency(old, 21, proof, _root(leaves[:old]), _root(leaves))


def _root(leaves: list[bytes]) -> bytes:
    frontier = merkle.Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def test_what_is_not_in_the_log_has_no_proof(database: Database) -> None:
    _fill(database, 5)
    with database.reading() as session:
        for index, size in ((5, 5), (-1, 5), (0, 6), (0, 0), (0, 10**30)):
            with pytest.raises(NotFound):
                LOG.inclusion_proof(session, index, size)
        for old, new in ((0, 5), (5, 6), (4, 3)):
            with pytest.raises(NotFound):
                LOG.consistency_proof(session, old, new)


def test_a_proof_over_a_missing_hash_is_an_error_that_names_the_place(database: Database) -> None:
    _fill(database, 8)
    _change(database, "DELETE FROM evidence_node WHERE level = 1 AND position = 1")
    with database.reading() as session, pytest.raises(LogBroken, match="the 2 entries from 2 on"):
        LOG.inclusion_proof(session, 0, 8)


def test_an_empty_log_has_a_checkpoint_and_holds(database: Database) -> None:
    checkpoint = _checkpoint(database)
    assert (checkpoint.size, checkpoint.root) == (0, merkle.EMPTY_ROOT)
    assert _verify(database, checkpoint).checkpoint == checkpoint


# -- noticing


@pytest.mark.parametrize("together", [1, 8, 1024])
def test_an_untouched_log_holds_against_all_its_checkpoints(
    database: Database, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(evidence_check, "PAGE", together)
    checkpoints = [_checkpoint(database)]
    for _ in range(3):
        _fill(database, 7)
        checkpoints.append(_checkpoint(database))
    assert _verify(database, *checkpoints) == (21, checkpoints[-1].root, checkpoints[-1])


TAMPERED = {
    "content": (5, "UPDATE evidence_entry SET content = CAST('{\"number\":5}' AS {bytes}) WHERE {index} = 5"),
    "kind": (5, "UPDATE evidence_entry SET kind = 'waiver' WHERE {index} = 5"),
    "subject": (5, "UPDATE evidence_entry SET subject = 'host-6' WHERE {index} = 5"),
    "time": (5, "UPDATE evidence_entry SET recorded_at = '2026-11-02 12:00:01.000000' WHERE {index} = 5"),
    "leaf hash": (5, "UPDATE evidence_entry SET leaf_hash = CAST('x' AS {bytes}) WHERE {index} = 5"),
    "removed": (5, "DELETE FROM evidence_entry WHERE {index} = 5"),
    "first removed": (0, "DELETE FROM evidence_entry WHERE {index} = 0"),
    "cut short": (18, "DELETE FROM evidence_entry WHERE {index} >= 18"),
    "all removed": (0, "DELETE FROM evidence_entry"),
    "moved": (20, "UPDATE evidence_entry SET {index} = 30 WHERE {index} = 20"),
    "added behind the end": (
        21,
        "INSERT INTO evidence_entry SELECT 21, kind, subject, recorded_at, content, leaf_hash"
        " FROM evidence_entry WHERE {index} = 20",
    ),
    "added before the beginning": (
        21,
        "INSERT INTO evidence_entry SELECT -1, kind, subject, recorded_at, content, leaf_hash"
        " FROM evidence_entry WHERE {index} = 20",
    ),
    "hash changed": (8, "UPDATE evidence_node SET hash = CAST('x' AS {bytes}) WHERE level = 3 AND position = 1"),
    "hash removed": (8, "DELETE FROM evidence_node WHERE level = 2 AND position = 2"),
    "hash added": (21, "INSERT INTO evidence_node SELECT 9, 9, hash FROM evidence_node WHERE level = 4"),
    "head rewound": (20, "UPDATE evidence_head SET size = 20"),
    "head emptied": (0, "UPDATE evidence_head SET frontier = CAST('' AS {bytes})"),
    "head removed": (0, "DELETE FROM evidence_head"),
    "head far ahead": (21, "UPDATE evidence_head SET size = 4000000000000"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_changed_log_is_noticed_at_the_first_entry_that_does_not_hold(
    database: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(evidence_check, "PAGE", 8)
    _fill(database, 21)
    index, statement = TAMPERED[what]
    kind = "BLOB" if database.engine.dialect.name == "sqlite" else "BYTEA"
    _change(database, statement.replace("{bytes}", kind).replace("{index}", '"index"').replace(":5", r"\:5"))
    with pytest.raises(LogBroken) as caught:
        _verify(database)
    assert caught.value.index == index


SWAP = (
    'UPDATE evidence_entry SET "index" = -9 WHERE "index" = 4',
    'UPDATE evidence_entry SET "index" = 4 WHERE "index" = 11',
    'UPDATE evidence_entry SET "index" = 11 WHERE "index" = -9',
)


def test_whole_entries_that_changed_places_are_noticed(database: Database) -> None:
    _fill(database, 21)
    _change(database, *SWAP)
    with pytest.raises(LogBroken, match="entries 4 to 5 are not those that were recorded") as caught:
        _verify(database)
    assert caught.value.index == 4


def test_a_log_that_was_cut_short_with_all_its_hashes_is_noticed_from_a_checkpoint(database: Database) -> None:
    _fill(database, 21)
    checkpoint = _checkpoint(database)
    _rewrite(database, [_record(number) for number in range(16)])
    assert _verify(database).size == 16
    with pytest.raises(LogBroken, match="ends at 16 entries, but had 21 when it was signed") as caught:
        _verify(database, checkpoint)
    assert caught.value.index == 16


@pytest.mark.parametrize("way", ["changed", "removed", "swapped", "added"])
def test_a_log_that_was_rewritten_with_all_its_hashes_is_noticed_from_a_checkpoint(
    database: Database, way: str
) -> None:
    _fill(database, 5)
    early = _checkpoint(database)
    records = [_record(number) for number in range(5)]
    _fill(database, 16)
    late = _checkpoint(database)
    records += [_record(number) for number in range(16)]
    if way == "changed":
        records[9] = Record("verdict", "host-4", {"number": 4, "outcome": "at variance"})
    elif way == "swapped":
        records[9], records[10] = records[10], records[9]
    elif way == "removed":
        records[9:10] = []
        records.append(_record(99))
    else:
        records.insert(9, _record(99))
    _rewrite(database, records)
    assert _verify(database, early).checkpoint == early
    with pytest.raises(LogBroken, match="entries 5 to 20 are not those that were signed") as caught:
        _verify(database, late, early)
    assert caught.value.index == 5


def _rewrite(database: Database, records: list[Record]) -> None:
    """What somebody with the database, but without the signing key, can do."""
    _change(database, "DELETE FROM evidence_entry", "DELETE FROM evidence_node", "DELETE FROM evidence_head")
    with database.transaction() as session:
        LOG.append_many(session, records, NOON)


@pytest.mark.parametrize("value", ["'garbage'", "17", "x'ff'", "''"])
@pytest.mark.parametrize("column", ["kind", "subject", "recorded_at", "content", "leaf_hash"])
def test_what_sqlite_lets_anybody_write_into_a_column_is_noticed_and_never_a_crash(
    tmp_path, column: str, value: str
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'test.sqlite'}")
    SQLModel.metadata.create_all(database.engine, tables=TABLES)
    _fill(database, 9)
    _change(database, f'UPDATE evidence_entry SET {column} = {value} WHERE "index" = 5')  # noqa: S608 - a test's own
    with pytest.raises(LogBroken, match="entry 5 ") as caught:
        _verify(database)
    assert caught.value.index == 5
    database.close()


def test_a_log_with_a_damaged_head_takes_nothing_more(database: Database) -> None:
    _fill(database, 5)
    _change(database, "UPDATE evidence_head SET size = 6 + 1")
    with pytest.raises(LogBroken, match="head is damaged"), database.transaction() as session:
        LOG.append(session, "verdict", "h1", {}, NOON)
    _change(database, "UPDATE evidence_head SET size = 6")  # two complete subtrees, like 5: the row numbers collide
    with pytest.raises(LogBroken):
        _verify(database)
