"""A table of iptables-legacy, as the kernel hands it over to the command of that name.

Source of the format: include/uapi/linux/netfilter_ipv4/ip_tables.h and netfilter_ipv6/ip6_tables.h of the kernel.
"""

import errno
import os
from struct import calcsize
from typing import Any

from .netlink import number

FAMILIES = {"ip": (2, 0), "ip6": (10, 41)}  # address family, level of the options
_INFORMATION, _ENTRIES = 64, 65  # the options
_NAME = 32  # bytes of a table's name, with the NUL at its end
_ABOUT = 84  # bytes of a struct ipt_getinfo, of which the size of the rules is the last number
_HEAD = calcsize("@%dsI0Q" % _NAME)  # bytes of a struct ipt_get_entries: a name, a size, and room to align the rules
_TRIES = 5


def read(family: str, table: str, limit: int) -> bytes:
    """Return a struct ipt_getinfo without the name, then the rules.  Raises OSError.

    The kernel wants the table's name in the room for its answer, which Python's own getsockopt does not give it.
    """
    import _socket  # these here and not above: few hosts have rules of this kind

    try:
        import ctypes
    except ImportError as error:
        raise OSError(errno.ENOSYS, "this Python has no ctypes") from error
    name = table.encode("utf-8", "surrogateescape")
    if family not in FAMILIES or not 0 < len(name) < _NAME:
        raise OSError(errno.ENOENT, "no such table", table)
    address_family, level = FAMILIES[family]
    connection = _socket.socket(address_family, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 255)
    try:
        return _read(ctypes, connection.fileno(), level, name, limit)
    finally:
        connection.close()


def _read(ctypes: Any, descriptor: int, level: int, name: bytes, limit: int) -> bytes:
    for _ in range(_TRIES):
        about = _option(ctypes, descriptor, level, _INFORMATION, name, _ABOUT)
        size = number(about[-4:])
        if size > limit:
            raise OSError(errno.EFBIG, "more than %d bytes" % limit)
        try:
            found = _option(ctypes, descriptor, level, _ENTRIES, name.ljust(_NAME, b"\0") + about[-4:], _HEAD + size)
        except BlockingIOError:  # EAGAIN: other rules have been loaded between the two
            continue
        return about[_NAME:] + found[_HEAD:]
    raise OSError(errno.EAGAIN, "the rules change each time that they are read")


def _option(ctypes: Any, descriptor: int, level: int, option: int, asked: bytes, size: int) -> bytes:
    """Return the answer to what stands at the beginning of the room for it."""
    room, length = ctypes.create_string_buffer(asked, size), ctypes.c_uint(size)
    library = ctypes.CDLL(None, use_errno=True)
    if library.getsockopt(descriptor, level, option, room, ctypes.byref(length)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "getsockopt")
    answer: bytes = room.raw[: length.value]
    return answer
