"""The digests: one form for everybody, of what is compared and of nothing else."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent import collectors
from verdelta_agent.model import (
    ABSENT,
    FAILED,
    OK,
    SECTION_NAMES,
    STATUSES,
    Digested,
    Section,
    Snapshot,
    canonical,
    check_rows,
    combine,
    digest_sections,
    document,
    root_digest,
    row_digest,
    rows_digest,
)

SOURCES = Path(__file__).parents[3] / "agent/src"

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), TEXTS)
ROW = st.dictionaries(TEXTS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=4)
ROWS = st.dictionaries(TEXTS, ROW, max_size=5)
SECTIONS = st.dictionaries(
    TEXTS, st.builds(Section, st.sampled_from(STATUSES), ROWS, ROWS, st.one_of(st.none(), TEXTS)), max_size=4
)


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()


def root(sections: dict[str, Section]) -> str:
    return root_digest(digest_sections(sections))


def shuffled(value, random):
    if isinstance(value, dict):
        items = list(value.items())
        random.shuffle(items)
        return {name: shuffled(item, random) for name, item in items}
    return value


# Worked out by hand from the module's text: the strings that are hashed stand here as they are.
NGINX = '["nginx:amd64",{"hold":false,"version":"1.24"}]'
ROOT_USER = '["root",{"groups":["adm","root"],"name":"J\\u00f6rg","uid":0}]'


def test_a_row_is_hashed_as_canonical_json_of_key_and_fields() -> None:
    assert row_digest("nginx:amd64", {"version": "1.24", "hold": False}) == sha256(NGINX)
    assert row_digest("root", {"uid": 0, "name": "Jörg", "groups": ["adm", "root"]}) == sha256(ROOT_USER)


def test_a_section_is_hashed_over_its_sorted_row_digests() -> None:
    rows = {
        "root": {"uid": 0, "name": "Jörg", "groups": ["adm", "root"]},
        "nginx:amd64": {"version": "1.24", "hold": False},
    }
    both = b"".join(sorted([sha256(NGINX), sha256(ROOT_USER)]))
    assert rows_digest(rows) == hashlib.sha256(both).hexdigest()


def test_a_section_without_rows_has_the_digest_of_nothing() -> None:
    assert rows_digest({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_root_is_hashed_over_sorted_names_statuses_and_digests() -> None:
    sections = {"b": Digested(FAILED, "2"), "a": Digested(OK, "1")}
    assert root_digest(sections) == sha256('[["a","ok","1"],["b","failed","2"]]').hex()


def test_a_root_that_sha256sum_and_printf_arrive_at_never_changes() -> None:
    sections = {
        "software.dpkg": Section(OK, {"nginx:amd64": {"version": "1.24", "hold": False}}, {}),
        "software.rpm": Section(ABSENT, {}, {}),
    }
    assert root(sections) == "d2fe8f4d0625b4a1718226ed6bca0818d2306e37071937e6c7c0fb1033742ecb"


@given(SECTIONS, st.randoms(use_true_random=False))
def test_no_order_has_an_influence(sections: dict[str, Section], random) -> None:
    reordered = {name: s._replace(rows=shuffled(s.rows, random)) for name, s in shuffled(sections, random).items()}
    assert root(reordered) == root(sections)


@given(SECTIONS)
def test_what_is_volatile_and_why_a_section_failed_are_not_in_the_root(sections: dict[str, Section]) -> None:
    bare = {name: s._replace(volatile={}, error=None) for name, s in sections.items()}
    assert root(bare) == root(sections)


@given(SECTIONS, TEXTS, TEXTS)
def test_host_and_time_are_not_in_the_root(sections: dict[str, Section], host_id: str, taken_at: str) -> None:
    assert document(Snapshot(host_id, taken_at, "0.1", sections))["root"] == root(sections)


@given(ROWS, ROWS)
def test_rows_have_the_same_digest_only_if_they_are_the_same(one, other) -> None:
    alike = canonical(one) == canonical(other)
    assert (rows_digest(one) == rows_digest(other)) == alike


@given(ROWS)
def test_a_digest_survives_the_wire(rows) -> None:
    assert rows_digest(json.loads(json.dumps(rows))) == rows_digest(rows)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=6), st.randoms(use_true_random=False))
def test_row_digests_combine_in_any_order(digests: list[bytes], random) -> None:
    other = list(digests)
    random.shuffle(other)
    assert combine(other) == combine(digests)


@pytest.mark.parametrize("status", [ABSENT, FAILED])
def test_a_status_is_part_of_the_root_though_there_are_no_rows(status: str) -> None:
    assert root({"a": Section(status, {}, {})}) != root({"a": Section(OK, {}, {})})


def test_true_is_not_one_to_a_digest() -> None:
    assert len({rows_digest({"k": {"f": value}}) for value in (True, 1, "1", [1], [True], None, "true")}) == 7


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), {1}, b"x", object()])
def test_what_json_does_not_have_is_refused_and_not_hashed(value) -> None:
    with pytest.raises((ValueError, TypeError)):
        canonical(value)


PROGRAM = """
import time
from verdelta_agent.model import OK, FAILED, Section, digest_sections, root_digest
rows = {"k%d" % n: {"name": "J\\u00f6rg", "tags": ["b", "a"], "n": n, "on": n == 1} for n in range(20)}
print(root_digest(digest_sections({"x": Section(OK, rows, {}), "y": Section(FAILED, {}, {}, time.ctime())})))
"""


def test_neither_locale_time_zone_nor_hash_seed_have_an_influence() -> None:
    roots = set()
    for seed, locale, zone in (
        ("0", "C", "UTC"),
        ("1", "C.UTF-8", "Asia/Kolkata"),
        ("77", "tr_TR.UTF-8", "America/Lima"),
    ):
        environment = {"PYTHONPATH": str(SOURCES), "PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True
        )
        roots.add(done.stdout)
    assert len(roots) == 1


def test_the_document_holds_every_section_with_its_digest_and_why_it_failed() -> None:
    rows = {"nginx:amd64": {"version": "1.24"}}
    sections = {"a": Section(OK, rows, {"nginx:amd64": {"used": 3}}), "b": Section(FAILED, {}, {}, "no such thing")}
    assert document(Snapshot("h", "2026-01-02T03:04:05Z", "0.1", sections)) == {
        "schema": 1,
        "host_id": "h",
        "taken_at": "2026-01-02T03:04:05Z",
        "agent": "0.1",
        "root": root(sections),
        "sections": {
            "a": {"status": "ok", "digest": rows_digest(rows), "rows": rows, "volatile": {"nginx:amd64": {"used": 3}}},
            "b": {"status": "failed", "digest": rows_digest({}), "rows": {}, "volatile": {}, "error": "no such thing"},
        },
    }


def test_the_names_of_all_sections_are_those_of_the_collectors_in_their_order() -> None:
    entries = collectors.SECTIONS
    assert tuple(entry.name for entry in entries) == SECTION_NAMES
    assert tuple(entry.load().name for entry in entries) == SECTION_NAMES


@given(ROWS)
def test_rows_of_text_numbers_booleans_and_lists_of_them_are_fit_to_be_sent(rows) -> None:
    check_rows(rows)


@pytest.mark.parametrize(
    "rows",
    [
        {"k": {"f": 1.5}},
        {"k": {"f": float("nan")}},
        {"k": {"f": ("a",)}},
        {"k": {"f": {"a": 1}}},
        {"k": {"f": [["a"]]}},
        {"k": {"f": b"a"}},
        {"k": {"f": "half a pair: \ud83d"}},
        {"k": {"f": ["\udcff"]}},
        {"k": {"\udcff": 1}},
        {"k": {1: "f"}},
        {"k": ["f"]},
        {"k": None},
        {"\udcff": {}},
        {1: {}},
        {None: {}},
    ],
)
def test_rows_that_another_reader_would_refuse_or_mistake_are_named(rows) -> None:
    with pytest.raises(ValueError, match=r"^row ('k'|'\\udcff'|1|None) is not text, integers and booleans alone$"):
        check_rows({"fine": {"f": "x"}, **rows})
