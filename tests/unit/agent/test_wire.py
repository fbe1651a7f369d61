"""The wire: whatever bytes arrive, they are a message or a WireError that says what is wrong with them."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.wire import (
    AUDIT,
    LINE,
    NUMBER,
    PAYLOAD_TYPE,
    Answer,
    Envelope,
    Message,
    Request,
    Token,
    WireError,
    decode_answer,
    decode_envelope,
    decode_message,
    decode_request,
    encode_envelope,
    encode_message,
    encode_request,
    parse_token,
    to_be_signed,
)

MESSAGE = Message("audience", "host", 2, 7, "previous", AUDIT, {"root": "r", "rows": {"k": {"n": 1, "on": True}}})
ENVELOPE = Envelope(encode_message(MESSAGE), "SHA256:key", b"\x00signature\xff")
REQUEST = Request("audience", "host", "challenge", {"software.dpkg": "d"}, "last", "/run/lock", 2, 8)

LINES = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)
NUMBERS = st.integers(0, NUMBER)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
DECODERS = (decode_envelope, decode_message, decode_request, decode_answer)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def envelope(**changes: Any) -> bytes:
    fields = {**json.loads(encode_envelope(ENVELOPE)), **changes}
    return encoded({name: value for name, value in fields.items() if value is not ...})


def refusal(decode: Any, data: bytes) -> str:
    with pytest.raises(WireError) as caught:
        decode(data)
    return str(caught.value)


# -- the format


def test_what_is_signed_is_dsses_own_test_vector() -> None:
    assert to_be_signed(b"hello world", "http://example.com/HelloWorld") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_what_is_signed_counts_bytes_and_names_our_payload_type() -> None:
    payload = "ü".encode()
    assert to_be_signed(payload) == b"DSSEv1 37 application/vnd.verdelta.message+json 2 " + payload


def test_an_envelope_is_json_as_dsse_defines_it() -> None:
    assert json.loads(encode_envelope(ENVELOPE)) == {
        "payloadType": "application/vnd.verdelta.message+json",
        "payload": base64.b64encode(ENVELOPE.payload).decode(),
        "signatures": [{"keyid": "SHA256:key", "sig": base64.b64encode(ENVELOPE.signature).decode()}],
    }


def test_the_payload_carries_its_schema() -> None:
    assert json.loads(ENVELOPE.payload)["schema"] == 1


@given(LINES, LINES, NUMBERS, NUMBERS, LINES, LINES, st.dictionaries(st.text(max_size=5), st.integers(), max_size=3))
def test_a_message_comes_out_as_it_went_in(audience, host_id, epoch, sequence, previous, kind, body) -> None:
    message = Message(audience, host_id, epoch, sequence, previous, kind, body)
    assert decode_message(encode_message(message)) == message


@given(st.binary(max_size=300), LINES, st.binary(max_size=100))
def test_an_envelope_comes_out_as_it_went_in(payload: bytes, key_id: str, signature: bytes) -> None:
    assert decode_envelope(encode_envelope(Envelope(payload, key_id, signature))) == (payload, key_id, signature)


@given(LINES, LINES, LINES, st.dictionaries(LINES, LINES, max_size=3), LINES, st.sampled_from([None, "/etc", "/"]))
def test_a_request_comes_out_as_it_went_in(audience, host_id, challenge, known, last, lock) -> None:
    request = Request(audience, host_id, challenge, known, last, lock, 3, 4)
    assert decode_request(encode_request(request)) == request


def test_both_alphabets_of_base64_are_understood() -> None:
    payload = base64.urlsafe_b64encode(b"\xfb\xff\xfe").decode()
    assert decode_envelope(envelope(payload=payload)).payload == b"\xfb\xff\xfe"


def test_a_key_id_may_be_missing() -> None:
    assert decode_envelope(envelope(signatures=[{"sig": "AAAA"}])) == (ENVELOPE.payload, "", b"\0\0\0")


def test_what_a_newer_side_adds_is_ignored() -> None:
    assert decode_envelope(envelope(later="field")) == ENVELOPE
    later = {**json.loads(ENVELOPE.payload), "later": {"a": [1]}}
    assert decode_message(encoded(later)) == MESSAGE
    assert decode_request(encoded({**REQUEST._asdict(), "later": [1]})) == REQUEST
    assert decode_answer(encoded({"accepted": "d", "later": {}})) == Answer("d", [], {}, 86400)


def test_a_message_of_a_later_schema_is_still_a_message() -> None:
    assert decode_message(encoded({**json.loads(ENVELOPE.payload), "schema": 2})) == MESSAGE


def test_of_a_field_given_twice_the_last_one_counts() -> None:
    data = ENVELOPE.payload[:-1] + b',"host_id":"other"}'
    assert decode_message(data) == MESSAGE._replace(host_id="other")


# -- hostile bytes


@given(st.binary(max_size=400))
@pytest.mark.parametrize("decode", DECODERS)
def test_any_bytes_are_refused_and_never_a_crash(decode, data: bytes) -> None:
    refusal(decode, data)


@given(JSON)
@pytest.mark.parametrize("decode", DECODERS)
def test_any_json_is_decoded_or_refused(decode, value) -> None:
    with contextlib.suppress(WireError):
        decode(encoded(value))


@given(st.data())
@pytest.mark.parametrize("decode", DECODERS)
def test_any_value_in_any_field_is_decoded_or_refused(decode, data) -> None:
    whole = {
        decode_envelope: encode_envelope(ENVELOPE),
        decode_message: ENVELOPE.payload,
        decode_request: encode_request(REQUEST),
        decode_answer: encoded({"accepted": "d", "unknown": ["a"], "known": {"a": "d"}, "next_poll": 5}),
    }[decode]
    fields = json.loads(whole)
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(JSON)
    try:
        decode(encoded(fields))
    except WireError as error:
        assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("decode", "data"), [(decode_envelope, encode_envelope(ENVELOPE)), (decode_message, ENVELOPE.payload)]
)
def test_a_message_cut_short_anywhere_is_refused(decode, data: bytes) -> None:
    for end in range(len(data)):
        refusal(decode, data[:end])


@given(st.data())
def test_a_flipped_bit_yields_another_message_or_none(data) -> None:
    whole = bytearray(encode_envelope(ENVELOPE))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(WireError):
        decode_message(decode_envelope(bytes(whole)).payload)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200000,
        b'{"a":' * 200000,
        b'{"payload":' + b"[" * 100000 + b"]" * 100000 + b"}",
        b"1" * 5000,
        b'{"epoch":' + b"9" * 5000 + b"}",
        b'{"sequence":NaN}',
        b'{"body":{"a":Infinity}}',
        b'{"body":{"a":-Infinity}}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"\xff",
        b"",
        b"null",
        b"[]",
        b'"text"',
    ],
    ids=lambda data: repr(data[:16]) if isinstance(data, bytes) else "",
)
def test_deep_huge_and_foreign_json_is_refused(decode, data: bytes) -> None:
    assert " is not " in refusal(decode, data)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payloadType": "application/vnd.in-toto+json"}, "payload type is not " + PAYLOAD_TYPE),
        ({"payloadType": ...}, "payload type is not"),
        ({"payloadType": [PAYLOAD_TYPE]}, "payload type is not"),
        ({"signatures": []}, "not exactly one signature"),
        ({"signatures": [{"sig": "AAAA"}] * 2}, "not exactly one signature"),
        ({"signatures": {"sig": "AAAA"}}, "not exactly one signature"),
        ({"signatures": "s"}, "not exactly one signature"),
        ({"signatures": ["s"]}, "not exactly one signature"),
        ({"signatures": ...}, "not exactly one signature"),
        ({"signatures": [{}]}, "'sig' is not base64"),
        ({"signatures": [{"sig": "AAAA", "keyid": 7}]}, "'keyid' is not one line"),
        ({"signatures": [{"sig": "AAAA", "keyid": "a\nb"}]}, "'keyid' is not one line"),
        ({"payload": "AAA"}, "'payload' is not base64"),
        ({"payload": "A*AA"}, "'payload' is not base64"),
        ({"payload": "ÄÄÄÄ"}, "'payload' is not base64"),
        ({"payload": 1}, "'payload' is not base64"),
        ({"payload": ...}, "'payload' is not base64"),
    ],
)
def test_an_envelope_that_is_none_says_why(changes: dict[str, Any], reason: str) -> None:
    assert reason in refusal(decode_envelope, envelope(**changes))


@pytest.mark.parametrize("name", ["audience", "host_id", "previous", "kind"])
@pytest.mark.parametrize("value", [None, 1, True, [], {}, "x" * (LINE + 1), "a\nb", "\x1b[2J", "a\0b", "\u202ex"])
def test_a_head_that_is_not_one_line_of_text_names_its_field(name: str, value: Any) -> None:
    fields = {**json.loads(ENVELOPE.payload), name: value}
    assert refusal(decode_message, encoded(fields)).startswith(f"field '{name}' is not one line")


@pytest.mark.parametrize("name", ["epoch", "sequence"])
@pytest.mark.parametrize("value", [None, "1", True, 1.0, -1, NUMBER + 1, 10**30, [1]])
def test_a_number_that_no_database_holds_names_its_field(name: str, value: Any) -> None:
    fields = {**json.loads(ENVELOPE.payload), name: value}
    assert refusal(decode_message, encoded(fields)).startswith(f"field '{name}' is not a number from 0 to")


@pytest.mark.parametrize("body", [None, [], "body", 1])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    assert "body" in refusal(decode_message, encoded({**json.loads(ENVELOPE.payload), "body": body}))


@pytest.mark.parametrize("escape", ["\\ud83d", "\\uDC00", "\\udcff\\ud83d", "x\\ud83dy"])
def test_half_a_surrogate_pair_is_no_text_wherever_it_stands(escape: str) -> None:
    for body in ('{"a":"%s"}', '{"%s":1}', '{"a":{"b":["%s"]}}'):
        data = encode_message(MESSAGE._replace(body={})).replace(b'"body":{}', b'"body":' + (body % escape).encode())
        assert "the payload is not JSON" in refusal(decode_message, data)


def test_a_whole_surrogate_pair_and_its_look_alike_are_text() -> None:
    message = MESSAGE._replace(body={"face": "😀", "literally": "\\ud83d"})
    assert decode_message(encode_message(message)) == message


# -- requests


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audience", ...),
        ("audience", 1),
        ("host_id", ["h"]),
        ("challenge", None),
        ("challenge", "x" * (LINE + 1)),
        ("known", ...),
        ("known", None),
        ("known", ["software.dpkg"]),
        ("known", {"software.dpkg": 1}),
        ("known", {"software.dpkg": None}),
        ("last", {}),
        ("epoch", "1"),
        ("epoch", True),
        ("sequence", "8"),
        ("sequence", -1),
        ("sequence", 8.5),
        ("install_lock", 1),
        ("install_lock", ""),
        ("install_lock", "etc"),
        ("install_lock", "../../x"),
        ("install_lock", "/etc/../etc"),
        ("install_lock", "/etc/"),
        ("install_lock", "//etc"),
        ("install_lock", "/./etc"),
        ("install_lock", "/etc\0"),
        ("install_lock", "/etc\n"),
        ("install_lock", "/" + "x" * LINE),
    ],
)
def test_a_request_with_a_wrong_field_names_it(name: str, value: Any) -> None:
    fields = {**REQUEST._asdict(), name: value}
    data = encoded({field: given for field, given in fields.items() if given is not ...})
    assert refusal(decode_request, data).startswith(f"field '{name}' is not ")


def test_a_request_need_not_speak_of_lock_and_numbers() -> None:
    fields = {"audience": "a", "host_id": "h", "challenge": "c", "known": {}, "last": ""}
    assert decode_request(encoded(fields)) == Request("a", "h", "c", {}, "")


# -- answers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accepted", None),
        ("accepted", 1),
        ("accepted", "a\nb"),
        ("unknown", "software.dpkg"),
        ("unknown", [1]),
        ("unknown", None),
        ("known", []),
        ("known", {"a": []}),
        ("known", None),
        ("next_poll", "soon"),
        ("next_poll", None),
        ("next_poll", -5),
        ("next_poll", True),
    ],
)
def test_an_answer_with_a_wrong_field_names_it(name: str, value: Any) -> None:
    assert refusal(decode_answer, encoded({"accepted": "d", name: value})).startswith(f"field '{name}' is not ")


def test_an_answer_without_the_digest_it_accepts_is_none() -> None:
    assert refusal(decode_answer, b"{}") == "field 'accepted' is not one line of at most 1024 characters"


# -- tokens


@given(LINES, NUMBERS)
def test_a_token_comes_out_as_it_went_in(text: str, epoch: int) -> None:
    token = Token("audience", "host", epoch, "secret")
    assert parse_token(f"\n {token}\t\n") == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret-x",
        "a.h.1",
        "a.h.1.secret-x.b",
        "a.h.one.secret-x",
        "a.h.-1.secret-x",
        "a.h.².secret-x",
        "a.h.٣.secret-x",
        "a.h. 1.secret-x",
        "a..1.secret-x",
        f"a.h.{NUMBER + 1}.secret-x",
        f"a.h.{'9' * 5000}.secret-x",
        "a.h.1.secret-xü",
        "a.h.1.secret-x\x1b[2J.",
        "a.h.1." + "secret-x" * 1000,
    ],
)
def test_what_is_no_token_is_refused_without_repeating_its_secret(text: str) -> None:
    with pytest.raises(WireError, match=r"^not an enrolment token: ") as caught:
        parse_token(text)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with contextlib.suppress(WireError):
        assert str(parse_token(text)) == text.strip() or text.strip().split(".")[2].startswith("0")


@pytest.mark.parametrize("decode", DECODERS)
def test_a_refusal_repeats_nothing_of_what_was_sent(decode) -> None:
    assert "s3cret" not in refusal(decode, b'{"s3cret": s3cret}')
