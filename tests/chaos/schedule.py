"""Order of the faults: rounds of all faults, each shuffled, from one seed."""

import random
from collections.abc import Iterator

from tests.chaos.faults import FAULTS


def schedule(choices: random.Random) -> Iterator[str]:
    """Names of faults, without end. In each round a worker is added before it is removed."""
    while True:
        names = list(FAULTS)
        choices.shuffle(names)
        added, removed = sorted((names.index("worker added"), names.index("worker removed")))
        names[added], names[removed] = "worker added", "worker removed"
        yield from names
