"""The Merkle tree of an append-only log: roots, proofs and their verification.  Pure.

Source: RFC 9162 section 2.1 (the hashing is that of RFC 6962).  Nodes are named by level and position: the leaf of
entry i is (0, i), and the node (l, p) is the root over the entries from p * 2**l up to (p + 1) * 2**l.  Only such
complete nodes are stored; they never change.  A function that needs them is given `get_node(level, position)`; which
ones it asks for depends on the sizes alone, never on the hashes.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

GetNode = Callable[[int, int], bytes]

EMPTY_ROOT = hashlib.sha256().digest()


class Node(NamedTuple):
    """A complete node of the tree."""

    level: int
    position: int
    hash: bytes


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry as a leaf."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node from those of its two halves."""
    return hashlib.sha256(b"\1" + left + right).digest()


# -- growing


class Frontier:
    """The roots of the complete subtrees that a log of `size` entries is made of, the largest first.

    All that is needed to append, and to give the root of now.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if size.bit_count() != len(hashes):
            raise ValueError(f"a log of {size} entries has {size.bit_count()} complete subtrees, not {len(hashes)}")
        self.size = size
        self.hashes = list(hashes)

    def append(self, leaf: bytes) -> list[Node]:
        """Take in the next leaf hash; return the nodes that are complete with it, the leaf itself first."""
        completed = [Node(0, self.size, leaf)]
        position = self.size
        while position & 1:  # a right half: its left half is the smallest subtree so far
            position >>= 1
            completed.append(Node(len(completed), position, node_hash(self.hashes.pop(), completed[-1].hash)))
        self.hashes.append(completed[-1].hash)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Return the root over all entries."""
        return _join(self.hashes)


def _join(subtrees: Sequence[bytes]) -> bytes:
    """Return the root over adjacent subtrees, the largest first."""
    if not subtrees:
        return EMPTY_ROOT
    joined = subtrees[-1]
    for left in reversed(subtrees[:-1]):
        joined = node_hash(left, joined)
    return joined


# -- proving


def root(size: int, get_node: GetNode) -> bytes:
    """Return the root over the first `size` entries."""
    return _range_hash(0, size, get_node)


def inclusion_proof(index: int, size: int, get_node: GetNode) -> list[bytes]:
    """Return the proof that the entry `index` is in the log of `size` entries.  Raises ValueError."""
    if not 0 <= index < size:
        raise ValueError(f"entry {index} is not in a log of {size} entries")
    proof = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_hash(middle, end, get_node))
            end = middle
        else:
            proof.append(_range_hash(start, middle, get_node))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, get_node: GetNode) -> list[bytes]:
    """Return the proof that the log of `new` entries begins with the log of `old` entries.  Raises ValueError."""
    if not 0 < old <= new:
        raise ValueError(f"a log of {new} entries cannot begin with one of {old}")
    proof = []
    start, end = 0, new
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_range_hash(middle, end, get_node))
            end = middle
        else:
            proof.append(_range_hash(start, middle, get_node))
            start = middle
    if start:
        proof.append(_range_hash(start, end, get_node))
    return proof[::-1]


def nodes_needed(ask: Callable[[GetNode], object]) -> list[tuple[int, int]]:
    """Return level and position of the nodes that `ask` would get, so that they can be fetched together."""
    wanted: list[tuple[int, int]] = []

    def note(level: int, position: int) -> bytes:
        wanted.append((level, position))
        return b""

    ask(note)
    return wanted


def _range_hash(start: int, end: int, get_node: GetNode) -> bytes:
    """Return the root over the entries from `start` up to `end`; `start` is where a subtree of that many can begin."""
    return _join([get_node(level, position) for level, position in _subtrees(start, end)])


def _subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield level and position of the complete nodes that cover a range, the largest first."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _split(size: int) -> int:
    """Return the largest power of two that is smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


# -- verifying


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Iterable[bytes], root: bytes) -> bool:
    """Return whether a proof shows that a leaf hash is at `index` in the log of `size` entries with this root."""
    if not 0 <= index < size:
        return False
    position, last, computed = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            computed = node_hash(step, computed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            computed = node_hash(computed, step)
        position, last = position >> 1, last >> 1
    return last == 0 and computed == root


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Return whether a proof shows that the log of `new` entries begins with that of `old` entries."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    steps = list(proof) if old & (old - 1) else [old_root, *proof]
    if not steps:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    computed_old = computed_new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            computed_old, computed_new = node_hash(step, computed_old), node_hash(step, computed_new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            computed_new = node_hash(computed_new, step)
        position, last = position >> 1, last >> 1
    return last == 0 and computed_old == old_root and computed_new == new_root
