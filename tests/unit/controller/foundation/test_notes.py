"""Signed notes and checkpoints as C2SP specifies them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_controller.foundation.errors import InvalidInput
from verdelta_controller.foundation.notes import (
    Checkpoint,
    NoteVerifier,
    open_checkpoint,
    open_note,
    sign_checkpoint,
    sign_note,
)
from verdelta_controller.foundation.signing import BadSignature, SigningKey

KEY = SigningKey(b"k" * 32)
NAME = "verdelta.example/log"
VERIFIER = NoteVerifier(NAME, KEY.public_key)
CHECKPOINT = Checkpoint(NAME, 7, b"r" * 32)

# The example of the specification's first implementation (golang.org/x/mod/sumdb/note).
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = (
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_note_of_another_implementation_is_understood() -> None:
    verifier = NoteVerifier.parse(PETER)
    assert str(verifier) == PETER
    assert open_note(f"{TEXT}\n{SIGNATURE}", verifier) == TEXT


def test_a_note_is_signed_and_opened() -> None:
    note = sign_note("one\n\ntwo\n", NAME, KEY)
    assert open_note(note, VERIFIER) == "one\n\ntwo\n"
    assert NoteVerifier.parse(str(VERIFIER)) == VERIFIER


def test_signatures_of_others_are_passed_over() -> None:
    note = f"{TEXT}\n{SIGNATURE}" + sign_note(TEXT, NAME, KEY).rpartition("\n\n")[2]
    assert open_note(note, VERIFIER) == open_note(note, NoteVerifier.parse(PETER)) == TEXT


def test_one_bad_signature_of_the_trusted_key_spoils_the_note() -> None:
    good = sign_note(TEXT, NAME, KEY)
    other = sign_note("other\n", NAME, KEY).rpartition("\n\n")[2]
    with pytest.raises(BadSignature):
        open_note(good + other, VERIFIER)


def test_a_note_that_only_others_signed_is_refused() -> None:
    with pytest.raises(BadSignature, match="not signed by verdelta"):
        open_note(f"{TEXT}\n{SIGNATURE}", VERIFIER)


@given(st.data())
def test_no_character_of_a_note_can_be_changed(data) -> None:
    note = sign_checkpoint(CHECKPOINT, KEY)
    at = data.draw(st.integers(0, len(note) - 1))
    character = data.draw(st.characters().filter(lambda c: c != note[at]))
    with pytest.raises(BadSignature):
        open_checkpoint(note[:at] + character + note[at + 1 :], VERIFIER)


@given(st.text(max_size=200))
def test_any_text_is_a_bad_note_and_never_a_crash(text: str) -> None:
    for bad in (text, f"{text}\n\n{text}\n", f"text\n\n\u2014 {text}\n", f"text\n\n\u2014 {NAME} {text}\n"):
        with pytest.raises(BadSignature):
            open_checkpoint(bad, VERIFIER)


@given(st.text(max_size=100))
def test_any_text_is_no_verifier_and_never_a_crash(text: str) -> None:
    for bad in (text, f"name+00000000+{text}", f"{text}+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"):
        with pytest.raises(InvalidInput):
            NoteVerifier.parse(bad)


def test_a_checkpoint_is_origin_size_and_root() -> None:
    note = sign_checkpoint(CHECKPOINT, KEY)
    assert note.startswith(f"{NAME}\n7\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n\n\u2014 {NAME} ")
    assert open_checkpoint(note, VERIFIER) == CHECKPOINT


def test_lines_that_follow_a_checkpoint_are_no_error() -> None:
    assert open_checkpoint(sign_note(f"{CHECKPOINT}an extension\n", NAME, KEY), VERIFIER) == CHECKPOINT


@pytest.mark.parametrize(
    "text",
    [
        "another log\n7\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        f"{NAME}\n+7\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        f"{NAME}\n07\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        f"{NAME}\n-7\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        f"{NAME}\n7\ncnJycg==\n",
        f"{NAME}\n7\n",
        f"{NAME}\n" + "9" * 5000 + "\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
    ],
)
def test_a_signed_note_that_is_no_checkpoint_of_this_log_is_refused(text: str) -> None:
    with pytest.raises(BadSignature, match="checkpoint"):
        open_checkpoint(sign_note(text, NAME, KEY), VERIFIER)


@pytest.mark.parametrize(
    ("text", "name"), [("no end", "n"), ("bell\a\n", "n"), ("t\n", "a b"), ("t\n", "a+b"), ("t\n", "")]
)
def test_what_nobody_could_open_is_not_signed(text: str, name: str) -> None:
    with pytest.raises(InvalidInput):
        sign_note(text, name, KEY)
