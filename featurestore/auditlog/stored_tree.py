"""Hashes of the stored tree: from Leaf, and from Node for subtrees of 256 entries and more."""

from django.db.models import Max

from featurestore.auditlog.errors import LogDamaged
from featurestore.auditlog.log_verifier import leaf_hash, node_hash
from featurestore.auditlog.models import Leaf, Node

LEVELS = 8
"""Levels of the tree from one stored level to the next."""
WIDTH = 1 << LEVELS


def stored_size() -> int:
    """How many entries have an index."""
    last = Leaf.objects.aggregate(last=Max("index"))["last"]
    return 0 if last is None else int(last) + 1


class StoredTree:
    """Complete nodes of the tree, read a block of 256 rows at a time and kept: use one for a few proofs."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[int, int], dict[int, bytes]] = {}

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete node. Raises LogDamaged if a row that it needs is missing."""
        stored = level // LEVELS * LEVELS
        first = index << (level - stored)
        rows = self._block(stored, first // WIDTH)
        try:
            hashes = [rows[number] for number in range(first, first + (1 << (level - stored)))]
        except KeyError as error:
            raise LogDamaged(f"Hash {error} of level {stored} is missing: run `manage.py auditlog verify`.") from None
        while len(hashes) > 1:
            hashes = [node_hash(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
        return hashes[0]

    def _block(self, level: int, number: int) -> dict[int, bytes]:
        if (level, number) not in self._blocks:
            self._blocks[level, number] = dict(_rows(level, number * WIDTH))
        return self._blocks[level, number]


def _rows(level: int, first: int) -> list[tuple[int, bytes]]:
    stretch = {"index__gte": first, "index__lt": first + WIDTH}
    if level == 0:
        leaves = Leaf.objects.filter(**stretch).values_list("index", "commitment")
        return [(index, leaf_hash(bytes(commitment))) for index, commitment in leaves]
    nodes = Node.objects.filter(level=level, **stretch).values_list("index", "hash")
    return [(index, bytes(hash_)) for index, hash_ in nodes]
