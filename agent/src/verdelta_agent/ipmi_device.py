"""Asks a management controller through the kernel's IPMI device.  Behind the Host door, and imported only there.

Source of the format: include/uapi/linux/ipmi.h of the Linux kernel.
"""

import array
import errno
import fcntl
import os
import select
import struct
import time

LARGEST = 272  # bytes of a message: IPMI_MAX_MSG_LENGTH

_CONTROLLER = struct.pack("@ihBx", 0x0C, 0x0F, 0)  # struct ipmi_system_interface_addr: type, channel, unit
_REQUEST = struct.Struct("@PIlBBHP")  # struct ipmi_req with the struct ipmi_msg in it
_RECEIVED = struct.Struct("@iPIlBBHP")  # struct ipmi_recv, likewise
_RESPONSE = 1
_DIRECTION, _READ, _WRITE = (29, 2, 4) if os.uname().machine.startswith(("ppc", "mips", "sparc")) else (30, 2, 1)
_SEND = _READ << _DIRECTION | _REQUEST.size << 16 | ord("i") << 8 | 13
_RECEIVE = (_READ | _WRITE) << _DIRECTION | _RECEIVED.size << 16 | ord("i") << 8 | 11


def ask(device: str, request: bytes, timeout: float) -> bytes:
    """Return the answer to a request (network function, command, data), from its completion code on.

    Raises OSError: TimeoutError when there is none in time.
    """
    descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _send(descriptor, request)
        return _receive(descriptor, request, time.monotonic() + timeout)
    finally:
        os.close(descriptor)


def _send(descriptor: int, request: bytes) -> None:
    address, data = array.array("B", _CONTROLLER), array.array("B", request[2:] or b"\0")
    message = (request[0], request[1], len(request) - 2, data.buffer_info()[0])
    fcntl.ioctl(descriptor, _SEND, _REQUEST.pack(address.buffer_info()[0], len(address), 1, *message))


def _receive(descriptor: int, request: bytes, deadline: float) -> bytes:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError(errno.ETIMEDOUT, "the management controller does not answer")
        address, data = array.array("B", bytes(64)), array.array("B", bytes(LARGEST))
        where = (address.buffer_info()[0], 64, 0, 0, 0, LARGEST, data.buffer_info()[0])
        received = bytearray(_RECEIVED.pack(0, *where))
        fcntl.ioctl(descriptor, _RECEIVE, received, True)
        kind, _, _, _, function, command, length, _ = _RECEIVED.unpack(received)
        # What else comes is an event, which everybody gets who has the device open.
        if kind == _RESPONSE and (function, command) == (request[0] | 1, request[1]):
            return data.tobytes()[:length]
