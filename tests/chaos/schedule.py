"""Order of the faults: rounds of all faults, each shuffled, from one seed."""

import random
from collections.abc import Collection, Iterator

ADDED, REMOVED = "worker added", "worker removed"


def schedule(choices: random.Random, kinds: Collection[str]) -> Iterator[str]:
    """Names of faults, without end. In each round a worker is added before it is removed."""
    while True:
        names = list(kinds)
        choices.shuffle(names)
        if ADDED in names:
            added, removed = sorted((names.index(ADDED), names.index(REMOVED)))
            names[added], names[removed] = ADDED, REMOVED
        yield from names
