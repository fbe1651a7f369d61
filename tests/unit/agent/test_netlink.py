"""Netlink: every message is found or the whole answer is refused, whatever the bytes."""

import contextlib
import errno
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent import netlink
from verdelta_agent.host import LocalHost
from verdelta_agent.netlink import Message, attributes, elements, message, messages
from verdelta_agent.recorded_host import RecordedHost
from verdelta_agent.rooted_host import RootedHost

PARTS = st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=6)


def attribute(kind: int, value: bytes) -> bytes:
    return two_bytes(4 + len(value)) + two_bytes(kind) + value + bytes(-len(value) % 4)


def two_bytes(value: int) -> bytes:
    return value.to_bytes(2, sys.byteorder)


class Kernel:
    """A socket that gives the messages it was made with, one at each reading."""

    def __init__(self, *answers: bytes, flags: int = 0, sender: int = 0) -> None:
        self.answers = list(answers)
        self.flags, self.sender = flags, sender

    def recvmsg(self, size: int) -> tuple[bytes, list[object], int, tuple[int, int]]:
        return self.answers.pop(0), [], self.flags, (self.sender, 0)


DONE = message(3, 2, bytes(4))


def code(number: int) -> bytes:
    return (-number).to_bytes(4, sys.byteorder, signed=True)


@given(PARTS)
def test_messages_are_read_as_they_were_written(parts: list[tuple[int, bytes]]) -> None:
    written = b"".join(message(kind, 2, body) for kind, body in parts)
    assert list(messages(written)) == [Message(kind, 2, body) for kind, body in parts]


@given(PARTS)
def test_attributes_are_read_as_they_were_written(parts: list[tuple[int, bytes]]) -> None:
    written = b"".join(attribute(kind, value) for kind, value in parts)
    assert list(elements(b"head" + written, 4)) == parts
    assert attributes(written) == dict(parts)


def test_the_marks_of_an_attribute_are_no_part_of_its_type() -> None:
    assert attributes(attribute(0x8000 | 0x4000 | 7, b"x")) == {7: b"x"}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (messages, elements):
        with contextlib.suppress(ValueError):
            assert len(list(parse(data))) <= len(data)


def test_an_answer_ends_with_the_message_that_says_so_and_tells_no_port_and_no_sequence() -> None:
    item = message(20, 2, b"abcd", sequence=9)
    assert netlink._receive(Kernel(item, item + DONE), 1000) == message(20, 2, b"abcd") * 2


def test_a_list_that_has_changed_meanwhile_is_not_taken() -> None:
    assert netlink._receive(Kernel(message(20, 2 | 0x10, b"abcd") + DONE), 1000) is None
    assert netlink._receive(Kernel(message(20, 2, b"abcd"), message(3, 2 | 0x10, bytes(4))), 1000) is None


@pytest.mark.parametrize("kind", [2, 3])
def test_an_error_is_raised_wherever_the_kernel_tells_it(kind: int) -> None:
    with pytest.raises(PermissionError):
        netlink._receive(Kernel(message(20, 2, b"abcd"), message(kind, 0, code(errno.EPERM))), 1000)


@pytest.mark.parametrize(
    ("kernel", "number"),
    [
        (Kernel(*[message(20, 2, bytes(500))] * 3), errno.EFBIG),
        (Kernel(b"\x05\0\0\0", b""), errno.EBADMSG),
        (Kernel(DONE, flags=0x20), errno.EMSGSIZE),
    ],
    ids=["endless", "damaged", "cut short"],
)
def test_an_answer_that_cannot_be_taken_whole_is_refused(kernel: Kernel, number: int) -> None:
    with pytest.raises(OSError) as caught:
        netlink._receive(kernel, 1000)
    assert caught.value.errno == number


def test_what_another_process_sends_is_not_listened_to() -> None:
    assert netlink._messages_of(Kernel(message(20, 2, b"abcd"), sender=4711)) == []


def test_this_machine_answers_twice_the_same() -> None:
    first, second = (LocalHost().netlink(netlink.ROUTE, 34, "02" + "00" * 11) for _ in range(2))  # policy rules
    assert first == second
    assert len(list(messages(first))) >= 3


def test_an_offline_tree_is_not_answered_for_by_this_machine() -> None:
    with pytest.raises(OSError):
        RootedHost("/").netlink(netlink.ROUTE, 22)


def test_a_recording_answers_as_the_machine_did() -> None:
    host = RecordedHost({"netlink": {"0 22 00": "0a", "12 1 ": {"error": "EPERM"}}})
    assert host.netlink(0, 22, "00") == b"\n"
    with pytest.raises(PermissionError):
        host.netlink(12, 1)
    with pytest.raises(OSError):
        host.netlink(4, 20)
