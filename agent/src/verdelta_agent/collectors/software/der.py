"""X.509 certificates, taken apart without a library: pure.

Sources of the format: RFC 5280, X.690 (DER), RFC 8410 for Ed25519, RFC 5480 for elliptic curves.
"""

from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

DEPTH = 32
ATTRIBUTES = {
    "2.5.4.3": "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}
CURVES = {"1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384", "1.3.132.0.35": "P-521", "1.3.132.0.10": "secp256k1"}
KEYS = {"1.3.101.112": "Ed25519", "1.3.101.113": "Ed448", "1.2.840.10040.4.1": "DSA", "1.3.101.110": "X25519"}
RSA, RSA_PSS, ELLIPTIC = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.10045.2.1"
ALTERNATIVE_NAMES, BASIC_CONSTRAINTS = "2.5.29.17", "2.5.29.19"
SEQUENCE, SET, OBJECT_ID, INTEGER, BIT_STRING, OCTET_STRING, BOOLEAN = 0x30, 0x31, 0x06, 0x02, 0x03, 0x04, 0x01
UTC_TIME = 0x17


class Certificate(NamedTuple):
    """What a certificate says of itself.  Times are RFC 3339, in UTC."""

    subject: str
    issuer: str
    serial: str
    not_before: str
    not_after: str
    key: str
    names: List[str]
    is_authority: bool


class Element(NamedTuple):
    """One element: its tag, its content, and where the next one begins."""

    tag: int
    content: bytes
    end: int


def parse(data: bytes) -> Certificate:
    """Return what a certificate in DER says.  Raises ValueError for anything else."""
    whole = element(data, 0)
    fields = list(children(_expect(element(whole.content, 0), SEQUENCE)))
    if fields and fields[0].tag == 0xA0:  # the version
        fields = fields[1:]
    if whole.tag != SEQUENCE or len(fields) < 6:
        raise ValueError("not a certificate")
    serial, _, issuer, validity, subject, key = fields[:6]
    times = list(children(_expect(validity, SEQUENCE)))
    if len(times) != 2:
        raise ValueError("not a period of validity")
    names, is_authority = _extensions(fields[6:])
    return Certificate(
        _name(subject),
        _name(issuer),
        _expect(serial, INTEGER).hex().lstrip("0") or "0",
        _time(times[0]),
        _time(times[1]),
        _key(key),
        names,
        is_authority,
    )


def element(data: bytes, at: int) -> Element:
    """Return the element at a position.  Raises ValueError where the data ends before it, or its length is not DER."""
    if at + 2 > len(data):
        raise ValueError("cut short")
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= 4 or at + count > len(data):
            raise ValueError("not a length")
        length, at = int.from_bytes(data[at : at + count], "big"), at + count
    if at + length > len(data):
        raise ValueError("cut short")
    return Element(tag, data[at : at + length], at + length)


def children(content: bytes) -> Iterator[Element]:
    """Yield the elements that follow each other in a content."""
    at = 0
    while at < len(content):
        child = element(content, at)
        yield child
        at = child.end


def _expect(found: Element, tag: int) -> bytes:
    if found.tag != tag:
        raise ValueError("expected tag %#x, found %#x" % (tag, found.tag))
    return found.content


def object_id(content: bytes) -> str:
    """Return an object identifier as numbers with dots."""
    numbers: List[int] = []
    value = 0
    for byte in content[:64]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        raise ValueError("not an object identifier")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first] + numbers[1:]))


def _name(found: Element) -> str:
    """Return a distinguished name as CN=…, O=…, in the order in which it is written."""
    parts = []
    for relative in children(_expect(found, SEQUENCE)):
        for pair in children(_expect(relative, SET)):
            kind, value = _pair(_expect(pair, SEQUENCE))
            name = object_id(_expect(kind, OBJECT_ID))
            parts.append("%s=%s" % (ATTRIBUTES.get(name, name), _text(value)))
    return ", ".join(parts)


def _pair(content: bytes) -> Tuple[Element, Element]:
    both = list(children(content))
    if len(both) != 2:
        raise ValueError("not a pair")
    return both[0], both[1]


def _text(found: Element) -> str:
    encoding = {0x1E: "utf-16-be", 0x1C: "utf-32-be"}.get(found.tag, "utf-8")
    return found.content.decode(encoding, "backslashreplace" if encoding == "utf-8" else "replace")


def _time(found: Element) -> str:
    digits = found.content.decode("ascii", "replace").rstrip("Z")
    if found.tag == UTC_TIME:
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    if len(digits) != 14 or not digits.isdigit():
        raise ValueError("not a time: %r" % digits[:20])
    parts = (digits[:4], digits[4:6], digits[6:8], digits[8:10], digits[10:12], digits[12:])
    return "%s-%s-%sT%s:%s:%sZ" % parts


def _key(found: Element) -> str:
    """Return the kind and size of a public key."""
    algorithm, bits = _pair(_expect(found, SEQUENCE))
    named = list(children(_expect(algorithm, SEQUENCE)))
    kind = object_id(_expect(named[0], OBJECT_ID)) if named else ""
    if kind in (RSA, RSA_PSS):
        modulus = next(children(_expect(element(_expect(bits, BIT_STRING)[1:], 0), SEQUENCE)), None)
        size = int.from_bytes(_expect(modulus, INTEGER), "big").bit_length() if modulus else 0
        return "RSA %d" % size
    if kind == ELLIPTIC and len(named) > 1 and named[1].tag == OBJECT_ID:
        curve = object_id(named[1].content)
        return "EC %s" % CURVES.get(curve, curve)
    return KEYS.get(kind, kind)


def _extensions(fields: List[Element]) -> Tuple[List[str], bool]:
    """Return the alternative names, and whether it is an authority's certificate."""
    values: Dict[str, bytes] = {}
    for field in fields:
        if field.tag == 0xA3:
            for extension in children(_expect(element(field.content, 0), SEQUENCE)):
                parts = list(children(_expect(extension, SEQUENCE)))
                if len(parts) > 1:
                    values[object_id(_expect(parts[0], OBJECT_ID))] = _expect(parts[-1], OCTET_STRING)
    names = _alternative_names(values.get(ALTERNATIVE_NAMES))
    constraints = values.get(BASIC_CONSTRAINTS)
    first = next(children(element(constraints, 0).content), None) if constraints else None
    return names, first is not None and first.tag == BOOLEAN and first.content != b"\x00"


def _alternative_names(value: Optional[bytes]) -> List[str]:
    if value is None:
        return []
    names = []
    for name in children(_expect(element(value, 0), SEQUENCE)):
        if name.tag in (0x81, 0x82, 0x86):  # of mail, DNS, URI
            names.append(name.content.decode("utf-8", "backslashreplace"))
        elif name.tag == 0x87:
            names.append(_address(name.content))
    return sorted(names)


def _address(content: bytes) -> str:
    if len(content) == 4:
        return ".".join(map(str, content))
    return ":".join(content[at : at + 2].hex() for at in range(0, len(content), 2))
