"""bbolt databases: read as they were written, and no crash and no endless work whatever a file holds."""

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import boltdb

from verdelta_agent.collectors.software.bolt import Bucket, Corrupt, Database, read
from verdelta_agent.recorded_host import RecordedHost

KEYS = st.binary(min_size=1, max_size=20)
TREES = st.dictionaries(
    KEYS,
    st.recursive(st.binary(max_size=900), lambda inner: st.dictionaries(KEYS, inner, max_size=6), max_leaves=12),
    max_size=12,
)
MANY: dict[bytes, Any] = {
    b"v1": {b"%05d" % number: {b"a": b"x" * (number % 700), b"b": {b"c": b"d"}} for number in range(120)},
    b"long": b"y" * 5000,
}
WRITTEN = boltdb.write(MANY)


def walked(data: bytes) -> int:
    """Go through all of a database, and return how many bytes came out of it.  Raises Corrupt alone."""
    total = 0
    pending = [Bucket(Database(data))]
    while pending:
        for item in pending.pop().items():
            total += len(item.key) + len(item.value)
            pending += [item.bucket] if item.bucket else []
    return total


@settings(deadline=None)
@given(TREES, st.sampled_from([1024, 4096, 16384]), st.sampled_from("<>"))
def test_a_database_is_read_as_it_was_written(tree: dict[bytes, Any], page_size: int, order: str) -> None:
    assert boltdb.dump(boltdb.write(tree, page_size, order=order)) == tree


def test_branches_values_over_several_pages_and_buckets_within_buckets_are_read() -> None:
    assert boltdb.dump(WRITTEN) == MANY


def test_the_newer_meta_page_counts_and_the_other_one_where_that_is_broken() -> None:
    data = bytearray(boltdb.write({b"a": b"b"}, transaction=9))
    assert Database(bytes(data)).meta.transaction == 9
    data[60] ^= 1  # within the first
    assert Database(bytes(data)).meta.transaction == 8
    assert boltdb.dump(bytes(data)) == {b"a": b"b"}
    data[1024 + 60] ^= 1
    with pytest.raises(Corrupt, match="no meta page"):
        Database(bytes(data))


def test_a_value_that_looks_like_a_meta_page_is_none() -> None:
    forged = boltdb.write({b"evil": b"1"}, transaction=999)[:1024]
    data = boltdb.write({b"a": b"b"}).ljust(4096, b"\0") + forged  # where it would be if pages were of 4096 bytes
    assert Database(data).meta.transaction == 7


@pytest.mark.parametrize("length", range(0, len(WRITTEN), 997))
def test_a_database_that_is_cut_short_is_corrupt_or_read_as_far_as_it_was_written(length: int) -> None:
    with pytest.raises(Corrupt, match=r"."):
        walked(WRITTEN[:length])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WRITTEN) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_database_gives_no_more_than_it_holds_or_is_corrupt(damage: list[tuple[int, int]]) -> None:
    data = bytearray(WRITTEN)
    for position, byte in damage:
        data[position] = byte
    with contextlib.suppress(Corrupt):
        assert walked(bytes(data)) <= 2 * len(data)


@settings(max_examples=300, deadline=None)
@given(st.integers(2, len(WRITTEN) // 1024 - 1), st.binary(max_size=200))
def test_a_page_of_anything_is_corrupt_or_ends(number: int, page: bytes) -> None:
    data = bytearray(WRITTEN)
    data[number * 1024 + 8 : number * 1024 + 8 + len(page)] = page  # its number is kept, so that it is gone into
    with contextlib.suppress(Corrupt):
        assert walked(bytes(data)) <= 2 * len(data)


@given(st.binary(max_size=300))
def test_whatever_a_file_holds_it_is_corrupt_or_read(data: bytes) -> None:
    with contextlib.suppress(Corrupt):
        walked(data)


def test_a_bucket_that_leads_back_to_itself_is_corrupt_and_no_endless_walk() -> None:
    data = bytearray(boltdb.write({b"a": {b"b": {b"c": b"d" * 300}}}))
    root = Database(bytes(data)).meta.root
    at = data.index(struct.pack("<QQ", root - 1, 0), root * 1024)
    data[at : at + 8] = struct.pack("<Q", root)
    with pytest.raises(Corrupt, match="twice"):
        walked(bytes(data))


class Written(RecordedHost):
    """A database that a new transaction is written to before each of the first readings is over."""

    def __init__(self, versions: list[bytes]) -> None:
        super().__init__({})
        self.versions = versions

    def read_bytes(self, path: str, limit: int = 0) -> bytes:
        return self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]


def test_a_database_that_is_written_to_is_read_again() -> None:
    versions = [boltdb.write({b"n": b"%d" % number}, transaction=10 + number) for number in range(3)]
    assert read(Written(versions), "/db", lambda bucket: bucket.values()) == {b"n": b"2"}
    half, whole = boltdb.write({b"n": b"0"})[:2048], boltdb.write({b"n": b"1"}, transaction=8)
    assert read(Written([half, whole]), "/db", lambda bucket: bucket.values()) == {b"n": b"1"}


def test_a_database_that_is_written_to_all_the_time_is_an_error_and_no_guess() -> None:
    versions = [boltdb.write({b"a": b"b"}, transaction=10 + number) for number in range(20)]
    with pytest.raises(OSError, match="written to while it was read"):
        read(Written(versions), "/db", lambda bucket: bucket.values())
