"""W3C Trace Context (levels 1 and 2): the trace of a request, logged and answered.

Rapport records no spans and needs no SDK: its part of a trace is one line of the log, found by ``trace_id``.
"""

import re
from random import getrandbits
from typing import NamedTuple

VERSION_00 = "00"
TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
NO_TRACE, NO_PARENT = "0" * 32, "0" * 16
SAMPLED, RANDOM = 0x01, 0x02  # the flags that levels 1 and 2 define; others must be sent as zero


class Trace(NamedTuple):
    """The trace of a request and its own span, ids in lower-case hex."""

    trace_id: str
    span_id: str
    flags: int

    @property
    def response(self) -> str:
        """The value of the ``traceresponse`` header: which trace and span answered."""
        return f"{VERSION_00}-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def trace_of(traceparent: str | None) -> Trace:
    """The trace that a ``traceparent`` header continues; a new one if there is none, or none that is valid.

    >>> trace = trace_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    >>> trace.trace_id, trace.span_id == "00f067aa0ba902b7", trace.flags
    ('4bf92f3577b34da6a3ce929d0e0e4736', False, 1)
    >>> trace_of("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01").trace_id == trace.trace_id
    False
    """
    random = f"{getrandbits(192):048x}"
    if traceparent and (found := TRACEPARENT.fullmatch(traceparent)):
        version, trace_id, parent_id, flags, more = found.groups()
        known = version == VERSION_00 and not more  # a later version may append fields behind another dash
        if (known or version not in (VERSION_00, "ff")) and trace_id != NO_TRACE and parent_id != NO_PARENT:
            return Trace(trace_id, random[:16], int(flags, 16) & (SAMPLED | RANDOM))
    return Trace(random[:32], random[32:], RANDOM)
