"""The Merkle tree against the definition in the RFC, written down naively, and against known answers."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_controller.foundation import merkle
from verdelta_controller.foundation.merkle import Frontier, leaf_hash, node_hash

# The entries and roots of the certificate transparency project's reference tests.
ENTRIES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


class Log:
    """A log whose nodes are kept in a dictionary."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.frontier = Frontier()
        self.nodes = {(node.level, node.position): node.hash for leaf in leaves for node in self.frontier.append(leaf)}

    def get(self, level: int, position: int) -> bytes:
        return self.nodes[level, position]


def _leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % index) for index in range(count)]


def _naive_root(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    split = _naive_split(len(leaves))
    return node_hash(_naive_root(leaves[:split]), _naive_root(leaves[split:]))


def _naive_split(size: int) -> int:
    split = 1
    while split * 2 < size:
        split *= 2
    return split


def _naive_inclusion(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = _naive_split(len(leaves))
    if index < split:
        return [*_naive_inclusion(index, leaves[:split]), _naive_root(leaves[split:])]
    return [*_naive_inclusion(index - split, leaves[split:]), _naive_root(leaves[:split])]


def _naive_consistency(old: int, leaves: list[bytes], known: bool = True) -> list[bytes]:
    if old == len(leaves):
        return [] if known else [_naive_root(leaves)]
    split = _naive_split(len(leaves))
    if old <= split:
        return [*_naive_consistency(old, leaves[:split], known), _naive_root(leaves[split:])]
    return [*_naive_consistency(old - split, leaves[split:], False), _naive_root(leaves[:split])]


SIZES = st.integers(1, 70)


@pytest.mark.parametrize("size", range(1, 9))
def test_the_root_is_what_other_implementations_compute(size: int) -> None:
    log = Log([leaf_hash(entry) for entry in ENTRIES[:size]])
    assert log.frontier.root().hex() == merkle.root(size, log.get).hex() == ROOTS[size - 1]


def test_the_proofs_are_those_of_the_rfcs_example() -> None:
    """RFC 9162 section 2.1.5: seven leaves."""
    a, b, c, d, e, f, j = leaves = _leaves(7)
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l = node_hash(g, h), node_hash(i, j)  # noqa: E741 - the RFC's own letter
    log = Log(leaves)
    assert merkle.inclusion_proof(0, 7, log.get) == [b, h, l]
    assert merkle.inclusion_proof(3, 7, log.get) == [c, g, l]
    assert merkle.inclusion_proof(4, 7, log.get) == [f, j, k]
    assert merkle.inclusion_proof(6, 7, log.get) == [i, k]
    assert merkle.consistency_proof(3, 7, log.get) == [c, d, g, l]
    assert merkle.consistency_proof(4, 7, log.get) == [l]
    assert merkle.consistency_proof(6, 7, log.get) == [i, j, k]


def test_an_empty_log_has_the_hash_of_nothing_as_its_root() -> None:
    assert Frontier().root() == merkle.root(0, Log([]).get) == hashlib.sha256().digest()


@given(SIZES)
def test_the_root_of_every_earlier_size_can_still_be_computed(size: int) -> None:
    leaves = _leaves(size)
    log = Log(leaves)
    for earlier in range(size + 1):
        assert merkle.root(earlier, log.get) == _naive_root(leaves[:earlier])
    assert log.frontier.root() == _naive_root(leaves)


@given(SIZES, st.data())
def test_an_inclusion_proof_is_the_rfcs_and_verifies(size: int, data) -> None:
    leaves = _leaves(size)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, Log(leaves).get)
    assert proof == _naive_inclusion(index, leaves)
    assert merkle.verify_inclusion(leaves[index], index, size, proof, _naive_root(leaves))


@given(SIZES, st.data())
def test_a_consistency_proof_is_the_rfcs_and_verifies(new: int, data) -> None:
    leaves = _leaves(new)
    old = data.draw(st.integers(1, new))
    proof = merkle.consistency_proof(old, new, Log(leaves).get)
    assert proof == _naive_consistency(old, leaves)
    assert merkle.verify_consistency(old, new, proof, _naive_root(leaves[:old]), _naive_root(leaves))


def _spoil(proof: list[bytes], data) -> list[bytes]:
    """Return another list of hashes than the proof."""
    ways = ["longer"] if not proof else ["longer", "shorter", "changed", "swapped"]
    way, at = data.draw(st.sampled_from(ways)), data.draw(st.integers(0, max(0, len(proof) - 1)))
    if way == "longer":
        return [*proof[:at], b"\7" * 32, *proof[at:]]
    if way == "shorter":
        return proof[:at] + proof[at + 1 :]
    if way == "changed":
        return [*proof[:at], b"\7" * 32, *proof[at + 1 :]]
    return proof[::-1] if proof[::-1] != proof else [*proof, b"\7" * 32]


@given(SIZES, st.data())
def test_no_other_proof_entry_place_or_root_verifies(size: int, data) -> None:
    leaves = _leaves(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root = _naive_inclusion(index, leaves), _naive_root(leaves)
    assert not merkle.verify_inclusion(leaves[index], index, size, _spoil(proof, data), root)
    assert not merkle.verify_inclusion(leaf_hash(b"forged"), index, size, proof, root)
    assert not merkle.verify_inclusion(leaves[index], index, size, proof, leaf_hash(b"forged"))
    other = data.draw(st.integers(-2, size + 2).filter(lambda place: place != index))
    assert not merkle.verify_inclusion(leaves[index], other, size, proof, root)


@given(SIZES, st.data())
def test_no_other_proof_of_consistency_verifies(new: int, data) -> None:
    leaves = _leaves(new)
    old = data.draw(st.integers(1, new))
    proof, roots = _naive_consistency(old, leaves), (_naive_root(leaves[:old]), _naive_root(leaves))
    assert not merkle.verify_consistency(old, new, _spoil(proof, data), *roots)
    forged = _leaves(new)
    forged[data.draw(st.integers(0, old - 1))] = leaf_hash(b"forged")
    rewritten = _naive_consistency(old, forged)
    assert not merkle.verify_consistency(old, new, rewritten, roots[0], _naive_root(forged))
    assert not merkle.verify_consistency(old, new, rewritten, _naive_root(forged[:old]), roots[1])


@given(st.integers(-3, 9), st.integers(-3, 9), st.lists(st.binary(max_size=33), max_size=6), st.binary(max_size=33))
def test_any_bytes_are_no_proof_and_never_a_crash(first: int, second: int, proof: list[bytes], noise: bytes) -> None:
    assert not merkle.verify_inclusion(leaf_hash(b""), first, second, proof, noise)
    assert not merkle.verify_consistency(first, second, proof, leaf_hash(b""), noise)


@given(st.integers(0, 40), st.integers(1, 40))
def test_a_frontier_goes_on_from_where_it_was_kept(first: int, more: int) -> None:
    leaves = _leaves(first + more)
    begun = Log(leaves[:first]).frontier
    resumed = Frontier(begun.size, begun.hashes)
    for leaf in leaves[first:]:
        resumed.append(leaf)
    assert resumed.root() == _naive_root(leaves)


def test_a_frontier_that_does_not_fit_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a log of 3 entries has 2 complete subtrees, not 1"):
        Frontier(3, [b"x" * 32])


@given(SIZES, st.data())
def test_a_proof_asks_only_for_nodes_that_are_stored(size: int, data) -> None:
    log = Log(_leaves(size))
    index = data.draw(st.integers(0, size - 1))
    needed = merkle.nodes_needed(lambda get: merkle.inclusion_proof(index, size, get))
    assert set(needed) <= set(log.nodes)
    assert len(needed) <= 2 * size.bit_length()


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 5), (5, 5), (9, 5)])
def test_there_is_no_proof_of_an_entry_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not in a log of"):
        merkle.inclusion_proof(index, size, Log(_leaves(5)).get)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (-1, 5), (6, 5)])
def test_there_is_no_proof_between_sizes_that_do_not_follow(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="cannot begin with"):
        merkle.consistency_proof(old, new, Log(_leaves(6)).get)
