"""Which fault comes next: rounds of all of them, each round shuffled, from one seed."""

import random
from collections.abc import Iterator

from tests.chaos.faults import FAULTS


def schedule(choices: random.Random) -> Iterator[str]:
    """Names of faults, without end. In each round the worker that is added is removed later."""
    while True:
        names = list(FAULTS)
        choices.shuffle(names)
        added, removed = sorted((names.index("worker added"), names.index("worker removed")))
        names[added], names[removed] = "worker added", "worker removed"
        yield from names
