"""Internet addresses as people write them.  By hand: importing ipaddress costs more than a section of addresses."""

from typing import List


def written(octets: bytes) -> str:
    """Return an address of 4 octets dotted, one of 16 as RFC 5952 writes it.  Raises ValueError."""
    if len(octets) == 4:
        return "%d.%d.%d.%d" % tuple(octets)
    if len(octets) != 16:
        raise ValueError("an address of %d octets" % len(octets))
    if octets[:12] == b"\0" * 10 + b"\xff\xff":
        return "::ffff:" + written(octets[12:])
    groups = ["%x" % (octets[index] << 8 | octets[index + 1]) for index in range(0, 16, 2)]
    length, start = max((_zeros(groups, index), -index) for index in range(8))
    if length < 2:
        return ":".join(groups)
    return ":".join(groups[:-start]) + "::" + ":".join(groups[-start + length :])


def _zeros(groups: List[str], start: int) -> int:
    """Return how many groups from `start` on are zero."""
    end = start
    while end < 8 and groups[end] == "0":
        end += 1
    return end - start
