"""Pipelines of bounded length and bytes, so that no other client of a server waits long behind one."""

from collections.abc import Iterator, Sequence

from featurestore.store.connection import Command

PIPELINE_COMMANDS, PIPELINE_BYTES = 500, 4 * 2**20


def pipelines(commands: Sequence[Command]) -> Iterator[Sequence[Command]]:
    """The commands in order, cut into pipelines."""
    start, size = 0, 0
    for i, command in enumerate(commands):
        length = sum(len(part) for part in command if isinstance(part, bytes))
        if i > start and (i - start >= PIPELINE_COMMANDS or size + length > PIPELINE_BYTES):
            yield commands[start:i]
            start, size = i, 0
        size += length
    if commands:
        yield commands[start:]
