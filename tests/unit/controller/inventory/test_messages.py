"""Bytes of a host become values, or a refusal that names the field: whatever they are, and without building more."""

import base64
import json
import resource
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.agents import packages, summary

from verdelta_agent import model, wire
from verdelta_controller.foundation.errors import InvalidInput
from verdelta_controller.inventory import messages
from verdelta_controller.inventory.content import pack, resolve, unpack
from verdelta_controller.inventory.messages import Content, open_envelope, read_message

ROWS = {"labapp:all": {"version": "1.0", "hold": False, "files": ["/a", "/b"], "size": 7, "note": None}}
HEAD = {"audience": "a", "host_id": "h", "epoch": 1, "sequence": 1, "previous": "", "kind": "audit"}


def payload(**body: Any) -> bytes:
    said = {**summary({"software.dpkg": ROWS}), "contents": {"software.dpkg": {"rows": ROWS}}, **body}
    return json.dumps({**HEAD, "body": said}).encode()


def with_rows(rows: str) -> bytes:
    """Return a message whose rows are this JSON, whatever its digests say."""
    return payload(contents={"software.dpkg": {"rows": "HERE"}}).replace(
        b'"HERE"', rows.encode("utf-8", "surrogatepass")
    )


# -- envelopes


def envelope(**other: Any) -> bytes:
    fields = {"payloadType": wire.PAYLOAD_TYPE, "payload": "e30=", "signatures": [{"keyid": "k", "sig": "c2ln"}]}
    return json.dumps({**fields, **other}).encode()


def test_an_envelope_is_opened_as_the_agent_closed_it():
    closed = wire.Envelope(b'{"any": "bytes"}', "SHA256:key", b"signature")
    assert open_envelope(wire.encode_envelope(closed)) == closed


def test_both_alphabets_of_base64_are_read():
    data = bytes(range(256))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert open_envelope(envelope(payload=encode(data).decode())).payload == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"payloadType": "\xff"}',
        envelope(payloadType="application/json"),
        envelope(payload=None),
        envelope(payload="not base64"),
        envelope(payload="\ud800"),
        envelope(signatures=[]),
        envelope(signatures=[{"keyid": "k", "sig": "c2ln"}] * 2),
        envelope(signatures=[{"keyid": "k"}]),
        envelope(signatures=[{"sig": "c2ln"}]),
        envelope(signatures=[{"keyid": "k" * 2000, "sig": "c2ln"}]),
        envelope() + b"x",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_envelope_is_refused(data):
    with pytest.raises(InvalidInput, match="envelope: "):
        open_envelope(data)


def test_what_an_envelope_has_beside_is_passed_over_and_not_built():
    bomb = envelope(x=0).replace(b'"x": 0', b'"x": [' + b"[]," * 2_000_000 + b"0]")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert open_envelope(bomb).payload == b"{}"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; two million lists are 112 MB


# -- messages


def test_a_message_is_read_as_the_agents_language_says():
    body = summary({"software.dpkg": ROWS}) | {"unanswered": ["d"], "challenge": "c", "install_idle": True}
    said = wire.Message("a", "h", 2, 3, "p", wire.CHECK_IN, body)
    read = read_message(wire.encode_message(said))
    assert read.head() == said._replace(body={"unanswered": ["d"]})
    assert (read.body.challenge, read.body.install_idle, read.body.root) == ("c", True, body["root"])


def test_what_newer_agents_say_beside_is_passed_over():
    read = read_message(payload(novelty={"deep": [1.5, {"x": None}]}))
    assert read.body.contents["software.dpkg"].rows == ROWS


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ('{"a": {"size": 1.5}}', "got `float`"),
        ('{"a": {"size": 1.0}}', "got `float`"),
        ('{"a": {"size": 1e3}}', "got `float`"),
        ('{"a": {"size": NaN}}', "malformed"),
        ('{"a": {"size": Infinity}}', "malformed"),
        ('{"a": {"size": 9223372036854775808}}', "Expected `int` <= 9223372036854775807"),
        ('{"a": {"size": -9223372036854775809}}', "Expected `int` >= -9223372036854775807"),
        ('{"a": {"size": ' + "9" * 5000 + "}}", "out of range"),
        ('{"a": {"inner": {"x": 1}}}', "got `object`"),
        ('{"a": {"list": [["x"]]}}', "got `array`"),
        ('{"a": {"list": [1.5]}}', "got `float`"),
        ('{"a": {"list": ' + "[" * 100_000 + "}}", "got `array`"),
        ('{"a": "text"}', "Expected `object`"),
        ('{"a": null}', "Expected `object`"),
        ('["a"]', "Expected `object"),
        ('{"a": {"name": "\\ud800"}}', "message: "),
        ('{"\\udfff": {}}', "message: "),
        ('{"a": {"name": "\ud800"}}', "message: "),
    ],
)
def test_rows_hold_text_whole_numbers_booleans_and_lists_of_them(rows, why):
    with pytest.raises(InvalidInput, match=why):
        read_message(with_rows(rows))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("audience", None),
        ("host_id", 7),
        ("host_id", "h" * 2000),
        ("epoch", -1),
        ("epoch", 2**63),
        ("epoch", "1"),
        ("epoch", True),
        ("sequence", 1.5),
        ("sequence", 10**400),
        ("previous", ["x"]),
        ("kind", "enrol"),
        ("kind", "shutdown"),
        ("body", []),
        ("body", None),
    ],
)
def test_a_head_that_is_not_one_is_refused_by_its_field(field, value):
    message = json.loads(payload())
    with pytest.raises(InvalidInput, match=rf"message: .*\$\.{field}|Integer value out of range"):
        read_message(json.dumps({**message, field: value}).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("root", "0" * 63),
        ("root", "G" * 64),
        ("taken_at", "x" * 41),
        ("agent", 3),
        ("sections", {"software": {"status": "ok", "digest": "0" * 64}}),
        ("sections", {"software.dpkg; rm": {"status": "ok", "digest": "0" * 64}}),
        ("sections", {"other.dpkg": {"status": "ok", "digest": "0" * 64}}),
        ("sections", {"software.dpkg": {"status": "fine", "digest": "0" * 64}}),
        ("sections", {"software.dpkg": {"status": "failed", "digest": "0" * 64, "error": "e" * 2001}}),
        ("contents", {"software.dpkg": {"base": "0"}}),
        ("contents", {"software.dpkg": {"removed": [1]}}),
        ("volatile", {"software.dpkg": {"a": 1}}),
        ("challenge", "c" * 101),
        ("install_idle", "yes"),
        ("unanswered", "d"),
        ("unanswered", ["d"] * 10_001),
    ],
)
def test_a_body_that_is_not_one_is_refused_by_its_field(field, value):
    with pytest.raises(InvalidInput, match=rf"message: .*\$\.body\.{field}"):
        read_message(payload(**{field: value}))


@pytest.mark.parametrize(
    "data", [b"", b"null", b"\xff", b"[" * 100_000, b'{"body":' * 50_000, payload()[:-1], payload() + b"}"]
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(InvalidInput, match="message: "):
        read_message(data)


def test_depth_is_refused_where_it_would_be_passed_over():
    deep = payload(x="HERE").replace(b'"HERE"', b"[" * 200_000 + b"]" * 200_000)
    with pytest.raises(InvalidInput, match="message: "):
        read_message(deep)


def test_a_root_that_is_not_that_of_its_sections_is_refused():
    with pytest.raises(InvalidInput, match="the root is not the digest of its sections"):
        read_message(payload(root="0" * 64))


def test_rows_of_a_section_that_the_snapshot_does_not_have_are_refused():
    with pytest.raises(InvalidInput, match=r"rows of system\.users, which the snapshot does not have"):
        read_message(payload(contents={"system.users": {"rows": {}}}))


def test_sections_rows_and_volatile_values_are_limited(monkeypatch):
    digest = {"status": "ok", "digest": "0" * 64}
    many = {f"software.s{number}": digest for number in range(messages.SECTIONS + 1)}
    with pytest.raises(InvalidInput, match="length <= 200"):
        read_message(payload(sections=many))
    with pytest.raises(InvalidInput, match="length <= 500000"):
        read_message(with_rows("{" + ",".join(f'"{n}":{{}}' for n in range(messages.ROWS + 1)) + "}"))
    with pytest.raises(InvalidInput, match="volatile values of more than"):
        read_message(payload(volatile={"software.dpkg": {"a": {"x": "v" * (1 << 20)}}}))


def test_of_a_key_that_is_said_twice_the_last_counts_for_every_reader():
    said = payload().replace(b'"sequence": 1', b'"sequence": 5, "sequence": 1')
    assert read_message(said).sequence == wire.decode_message(said).sequence == json.loads(said)["sequence"] == 1


def test_nul_is_kept_in_rows_and_shown_as_a_sign_in_what_is_only_shown():
    rows = {"a\0b": {"name": "c\0d"}}
    body = summary({"software.dpkg": rows, "system.users": model.failed("what\0ever")})
    volatile = {"software.dpkg": {"e\0": {"f\0": ["g\0", 1, None, True]}}}
    said = wire.Message(
        "a", "h", 1, 1, "", wire.AUDIT, {**body, "contents": {"software.dpkg": {"rows": rows}}, "volatile": volatile}
    )
    read = read_message(wire.encode_message(said)).body
    assert read.contents["software.dpkg"].rows == rows
    assert read.sections["system.users"].error == "what\N{SYMBOL FOR NULL}ever"
    sign = "\N{SYMBOL FOR NULL}"
    assert read.volatile == {"software.dpkg": {f"e{sign}": {f"f{sign}": [f"g{sign}", 1, None, True]}}}


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
names = st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from([*HEAD, "body", *(f"body.{name}" for name in json.loads(payload())["body"])]), anything)
def test_whatever_stands_in_a_field_is_read_or_refused(field, value):
    message = json.loads(payload())
    outer, _, inner = field.partition(".")
    if inner:
        message[outer][inner] = value
    else:
        message[outer] = value
    try:
        read = read_message(json.dumps(message).encode())
    except InvalidInput as refused:
        assert refused.message.isprintable()
    else:
        assert model.root_digest(messages.digests_in(read.body)) == read.body.root


@given(st.binary(max_size=200) | st.text(string.printable, max_size=200).map(str.encode))
def test_whatever_bytes_come_are_refused(data):
    for read in (open_envelope, read_message):
        with pytest.raises(InvalidInput):
            read(data)


# -- the rows of a section


def test_all_rows_or_a_patch_make_the_rows_that_were_signed():
    old, new = packages(3), {**packages(2), "added:all": {"version": "2"}}
    digest = model.rows_digest(new)
    assert resolve("software.dpkg", Content(rows=new), None, digest) == new
    patch = Content(
        base=model.rows_digest(old), replaced={"added:all": {"version": "2"}}, removed=["package-0002:amd64"]
    )
    assert resolve("software.dpkg", patch, old, digest) == new


@pytest.mark.parametrize(
    ("content", "base", "why"),
    [
        (Content(rows={}), None, "do not have the digest"),
        (Content(rows={"x": {"version": "1"}}), None, "do not have the digest"),
        (Content(base="0" * 64), None, "a state that is not known here"),
        (Content(), None, "a state that is not known here"),
        (Content(base="0" * 64, removed=["nobody"]), packages(1), "removes a row that is not there"),
        (Content(base="0" * 64, replaced={"x": {}}), packages(1), "do not have the digest"),
        (
            Content(rows={"package-0000:amd64": {"version": "1.0", "state": "installed", "hold": 0}}),
            None,
            "do not have",
        ),
    ],
)
def test_rows_that_are_not_what_was_signed_are_refused(content, base, why):
    with pytest.raises(InvalidInput, match=why):
        resolve("software.dpkg", content, base, model.rows_digest(packages(1)))


def test_a_patch_cannot_make_more_rows_than_a_section_may_have(monkeypatch):
    monkeypatch.setattr("verdelta_controller.inventory.content.ROWS", 3)
    with pytest.raises(InvalidInput, match="has 4 rows; at most 3"):
        resolve("software.dpkg", Content(base="0" * 64, replaced={"x": {}}), packages(3), "0" * 64)


values = st.none() | st.booleans() | st.integers(-wire.NUMBER, wire.NUMBER) | names
rows = st.dictionaries(names, st.dictionaries(names, values | st.lists(values, max_size=3), max_size=4), max_size=6)


@given(rows)
def test_rows_come_back_from_the_database_as_they_were(rows):
    assert unpack(pack(rows)) == rows
    assert model.rows_digest(unpack(pack(rows))) == model.rows_digest(rows)
