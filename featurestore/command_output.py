"""Output of command-line programs: they end quietly when nobody reads it any more, as `| head` does.

Python raises BrokenPipeError then, at a print or at the end of the process. The same error of another connection (a
server that closed it) is a failure and stays one.
"""

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

STDOUT, STDERR = 1, 2
ENDED_BY_SIGPIPE = 128 + 13
"""Exit code of a program that a shell saw end by this signal, as `cat` does."""


@contextmanager
def quiet_at_a_broken_pipe(exit_: Callable[[int], None] = os._exit) -> Iterator[None]:
    """Within the block a broken pipe of standard output or error ends the process, without any message."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not (is_unread(STDOUT) or is_unread(STDERR)):
            raise
        with suppress(OSError):
            sys.stderr.flush()
        exit_(ENDED_BY_SIGPIPE)  # at once: what the interpreter flushes at its end would be a message


def is_unread(descriptor: int) -> bool:
    """Whether nobody can read from the other end of a pipe."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
