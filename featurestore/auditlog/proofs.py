"""Inclusion and consistency proofs of a tree (RFC 9162, 2.1.3 and 2.1.4). Pure: complete nodes come from a function.

A node at (level, index) is the root of the entries from ``index << level`` on, ``1 << level`` of them.
"""

from collections.abc import Callable

from featurestore.auditlog.log_verifier import EMPTY_ROOT, CompactRange, node_hash

Nodes = Callable[[int, int], bytes]
"""The hash of a complete node by level and index."""


def tree_root(nodes: Nodes, size: int) -> bytes:
    """The root of the tree of the first ``size`` entries."""
    return _range_root(nodes, 0, size) if size else EMPTY_ROOT


def compact_range(nodes: Nodes, size: int) -> CompactRange:
    """The complete subtrees of a tree, from which it goes on."""
    start, peaks = 0, []
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            peaks.append(nodes(level, start >> level))
            start += 1 << level
    return CompactRange(size, peaks)


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """The hashes that lead from an entry to the root of a tree: PATH of the RFC. ``index`` < ``size``."""
    found: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append(_range_root(nodes, middle, end))
            end = middle
        else:
            found.append(_range_root(nodes, start, middle))
            start = middle
    return found[::-1]


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """The hashes by which a tree is seen to begin with an older one: PROOF of the RFC. 0 < ``old`` <= ``new``."""
    found: list[bytes] = []
    start, end, is_whole = 0, new, True  # whole: the old tree's root is known to who verifies
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            found.append(_range_root(nodes, middle, end))
            end = middle
        else:
            found.append(_range_root(nodes, start, middle))
            start, is_whole = middle, False
    if not is_whole:
        found.append(_range_root(nodes, start, end))
    return found[::-1]


def _range_root(nodes: Nodes, start: int, end: int) -> bytes:
    size = end - start
    level = size.bit_length() - 1
    if size == 1 << level:
        return nodes(level, start >> level)
    middle = start + _split(size)
    return node_hash(_range_root(nodes, start, middle), _range_root(nodes, middle, end))


def _split(size: int) -> int:
    """The largest power of two below a size over 1."""
    return 1 << (size - 1).bit_length() - 1
