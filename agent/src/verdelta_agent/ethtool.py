"""What the driver of a network interface tells by the ioctl that ethtool uses.

Source of the format: include/uapi/linux/ethtool.h and if.h of the kernel.
"""

SIOCETHTOOL = 0x8946
_NAME = 16  # bytes of an interface's name, with the NUL at its end


def ask(interface: str, request: bytes) -> bytes:
    """Return a structure as the driver has filled it in.  The first number of it says which one.  Raises OSError."""
    import _socket  # here and not above: as dear as the whole answer
    import errno
    import fcntl
    from array import array

    name = interface.encode("utf-8", "surrogateescape")
    if not 0 < len(name) < _NAME or b"\0" in name:
        raise OSError(errno.ENODEV, "no name of an interface", interface)
    structure = array("B", request)
    address, _ = structure.buffer_info()
    ifreq = name.ljust(_NAME, b"\0") + array("L", [address]).tobytes()
    connection = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        fcntl.ioctl(connection.fileno(), SIOCETHTOOL, ifreq.ljust(40, b"\0"))
    finally:
        connection.close()
    return structure.tobytes()
