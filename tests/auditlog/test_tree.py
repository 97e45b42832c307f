"""Laws of the tree: hashes and proofs agree with an independent, recursive implementation of RFC 9162, and with the
test vectors of Certificate Transparency.
"""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.auditlog.log_verifier import CompactRange, is_consistent, is_included, leaf_hash
from featurestore.auditlog.proofs import compact_range, consistency_proof, inclusion_proof, tree_root

INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION_5_OF_8 = [
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]
CONSISTENCY_6_OF_8 = ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", *INCLUSION_5_OF_8[1:]]

sizes = st.integers(1, 70)


def leaves(size: int) -> list[bytes]:
    return [bytes.fromhex(one) for one in INPUTS[:size]] + [bytes([number]) * 32 for number in range(8, size)]


def mth(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    k = split(len(entries))
    return hashlib.sha256(b"\1" + mth(entries[:k]) + mth(entries[k:])).digest()


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, entries: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162, 2.1.3.1."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def subproof(m: int, entries: list[bytes], is_known: bool) -> list[bytes]:
    """SUBPROOF of RFC 9162, 2.1.4.1."""
    n = len(entries)
    if m == n:
        return [] if is_known else [mth(entries)]
    k = split(n)
    if m <= k:
        return [*subproof(m, entries[:k], is_known), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


class Nodes:
    """Complete nodes of a tree of entries, computed by the RFC's definition."""

    def __init__(self, entries: list[bytes]) -> None:
        self.entries = entries

    def __call__(self, level: int, index: int) -> bytes:
        found = self.entries[index << level : (index + 1) << level]
        assert len(found) == 1 << level, "an incomplete node was asked for"
        return mth(found)


def appended(entries: list[bytes]) -> CompactRange:
    tree = CompactRange()
    for entry in entries:
        tree.append(leaf_hash(entry))
    return tree


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert appended(leaves(size)).root().hex() == ROOTS[size]
    assert tree_root(Nodes(leaves(size)), size).hex() == ROOTS[size]


def test_proofs_are_those_of_certificate_transparency() -> None:
    nodes = Nodes(leaves(8))
    assert [one.hex() for one in inclusion_proof(nodes, 5, 8)] == INCLUSION_5_OF_8
    assert [one.hex() for one in consistency_proof(nodes, 6, 8)] == CONSISTENCY_6_OF_8


@given(sizes, st.data())
def test_inclusion_proof_is_the_one_of_the_rfc_and_verifies(size: int, data: st.DataObject) -> None:
    index, entries = data.draw(st.integers(0, size - 1)), leaves(size)
    proof = inclusion_proof(Nodes(entries), index, size)
    assert proof == path(index, entries)
    assert is_included(entries[index], index, size, proof, mth(entries))


@given(sizes, st.data())
def test_consistency_proof_is_the_one_of_the_rfc_and_verifies(new: int, data: st.DataObject) -> None:
    old, entries = data.draw(st.integers(1, new)), leaves(new)
    proof = consistency_proof(Nodes(entries), old, new)
    assert proof == subproof(old, entries, True)
    assert is_consistent(old, new, mth(entries[:old]), mth(entries), proof)


@given(st.integers(0, 70), st.integers(0, 70))
def test_tree_goes_on_from_its_compact_range(size: int, more: int) -> None:
    entries = leaves(size + more)
    tree = compact_range(Nodes(entries[:size]), size)
    assert tree.peaks == appended(entries[:size]).peaks
    nodes: list[tuple[int, int, bytes]] = []
    for entry in entries[size:]:
        tree.append(leaf_hash(entry), nodes)
    assert tree.root() == mth(entries)
    assert all(hash_ == Nodes(entries)(level, index) for level, index, hash_ in nodes)


@given(sizes, st.data())
def test_changed_proof_does_not_verify(size: int, data: st.DataObject) -> None:
    index, old, entries = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size)), leaves(size)
    root, wrong = mth(entries), bytes(32)
    included, consistent = inclusion_proof(Nodes(entries), index, size), consistency_proof(Nodes(entries), old, size)
    assert not is_included(entries[index], index, size, included, wrong)
    assert not is_included(b"another", index, size, included, root)
    assert not is_included(entries[index], index, size, [*included, wrong], root)
    assert not is_included(entries[index], size, size, included, root)
    assert not is_consistent(old, size, wrong, root, consistent)
    assert not is_consistent(old, size, mth(entries[:old]), wrong, consistent)
    assert not is_consistent(old, size, mth(entries[:old]), root, [*consistent, wrong])
    if included:
        assert not is_included(entries[index], index, size, included[:-1], root)
    if consistent:
        assert not is_consistent(old, size, mth(entries[:old]), root, consistent[:-1])
    assert not is_consistent(0, size, mth([]), root, [])
    assert not is_consistent(size, old - 1, root, mth(entries[: old - 1]), [])
