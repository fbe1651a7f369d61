"""The kernel's lists as netlink hands them over, message by message.

Source of the format: Documentation/userspace-api/netlink/intro.rst of the kernel, include/uapi/linux/netlink.h.

A message is a header (length, type, flags, sequence, port) and what belongs to its type: a structure, then attributes
(length, type, value), each padded to four bytes.  Numbers are in the byte order of the machine, unless said otherwise.
"""

import errno
import os
import sys
from struct import Struct
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

ROUTE, SOCK_DIAG, NETFILTER = 0, 4, 12  # the protocols: which part of the kernel is asked

LIMIT = 16 << 20  # bytes of one answer
HEADER = 16
_ERROR, _DONE = 2, 3  # types of messages
_INTERRUPTED = 0x10  # of the flags: what is listed has changed while it was listed
_DUMP = 0x301  # of the flags: a request, for the whole list
_RECEIVED = 65536  # bytes at a time; the kernel fills 32 KiB at most
_PATIENCE = 5.0  # seconds without an answer
_TRIES = 5
_SOL_NETLINK, _STRICT = 270, 12  # the option by which a kernel from 4.20 on keeps to what is asked for
_START = Struct("=IHH").unpack_from  # of a message: length, type, flags
_HEAD = Struct("=HH").unpack_from  # of an attribute: length, type
_TYPE = 0x3FFF  # of an attribute's type: without the marks for a nest and for network byte order


class Message(NamedTuple):
    """One message: its type, its flags, and what follows its header."""

    kind: int
    flags: int
    body: bytes


def number(data: bytes, byte_order: str = sys.byteorder) -> int:
    """Return an unsigned number of any length."""
    return int.from_bytes(data, "big" if byte_order == "big" else "little")


def messages(data: bytes) -> Iterator[Message]:
    """Yield the messages that stand one after the other.  Raises ValueError."""
    at, end = 0, len(data)
    while at < end:
        length, kind, flags = _START(data, at) if at + HEADER <= end else (0, 0, 0)
        if length < HEADER or at + length > end:
            raise ValueError("a message of %d bytes, %d are left" % (length, end - at))
        yield Message(kind, flags, data[at + HEADER : at + length])
        at += length + 3 & ~3


def elements(data: bytes, start: int = 0) -> List[Tuple[int, bytes]]:
    """Return type and value of each attribute from `start` on, in their order.  Raises ValueError."""
    found: List[Tuple[int, bytes]] = []
    at, end = start, len(data)
    while at + 4 <= end:
        length, kind = _HEAD(data, at)
        if length < 4 or at + length > end:
            raise ValueError("an attribute of %d bytes, %d are left" % (length, end - at))
        found.append((kind & _TYPE, data[at + 4 : at + length]))
        at += length + 3 & ~3
    return found


def attributes(data: bytes, start: int = 0) -> Dict[int, bytes]:
    """Return type -> value of the attributes from `start` on.  Raises ValueError."""
    return dict(elements(data, start))


def text(value: Optional[bytes]) -> str:
    """Return a string attribute, which ends at its first NUL; "" for one that is missing."""
    return (value or b"").split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def message(kind: int, flags: int, body: bytes, sequence: int = 0) -> bytes:
    """Return a message, padded.  In an answer that is handed on, sequence and port are 0: they tell nothing."""
    header = _packed(HEADER + len(body), 4) + _packed(kind, 2) + _packed(flags, 2) + _packed(sequence, 4) + bytes(4)
    return header + body + bytes(-len(body) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute, padded."""
    return _packed(4 + len(value), 2) + _packed(kind, 2) + value + bytes(-len(value) % 4)


def _packed(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big" if sys.byteorder == "big" else "little")


def dump(protocol: int, kind: int, body: bytes, limit: int) -> bytes:
    """Return the messages of the whole list that a request of this type gives.  Raises OSError."""
    for _ in range(_TRIES):
        found = _dump(protocol, kind, body, limit)
        if found is not None:
            return found
    raise OSError(errno.EAGAIN, "the list changes each time that it is read")


def _dump(protocol: int, kind: int, body: bytes, limit: int) -> Optional[bytes]:
    """Return the messages, or None where the list has changed meanwhile."""
    import _socket  # socket costs ten milliseconds, and an audit has no other use for either

    connection = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)
    try:
        connection.settimeout(_PATIENCE)
        try:
            connection.setsockopt(_SOL_NETLINK, _STRICT, 1)
        except OSError:  # an older kernel lists more than it is asked for
            pass
        connection.sendto(message(kind, _DUMP, body, sequence=1), (0, 0))
        return _receive(connection, limit)
    finally:
        connection.close()


def _receive(connection: Any, limit: int) -> Optional[bytes]:
    found: List[bytes] = []
    total, interrupted = 0, False
    while True:
        for received in _messages_of(connection):
            interrupted = interrupted or bool(received.flags & _INTERRUPTED)
            if received.kind in (_ERROR, _DONE):
                _raise_error(received.body)
                return None if interrupted else b"".join(found)
            found.append(message(received.kind, received.flags, received.body))
            total += len(found[-1])
        if total > limit:
            raise OSError(errno.EFBIG, "more than %d bytes" % limit)


def _messages_of(connection: Any) -> List[Message]:
    """Return the next messages of the kernel itself."""
    data, _, flags, sender = connection.recvmsg(_RECEIVED)
    if flags & 0x20:  # MSG_TRUNC
        raise OSError(errno.EMSGSIZE, "a message of more than %d bytes" % _RECEIVED)
    if sender and sender[0] != 0:  # another process
        return []
    try:
        return list(messages(data))
    except ValueError as error:
        raise OSError(errno.EBADMSG, str(error)) from error


def _raise_error(body: bytes) -> None:
    """Raise the OSError that the last message of an answer tells, if it does."""
    code = number(body[:4])
    if code >> 31:
        code = (1 << 32) - code
        raise OSError(code, os.strerror(code), "netlink")
