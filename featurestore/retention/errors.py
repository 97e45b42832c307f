"""Errors of retention. A message states what to do and names no customer."""


class RetentionError(Exception):
    """Base class: the request is refused and nothing was changed."""


class WrongDays(RetentionError):
    """A number of days that no run can have."""


class RunUnfinished(RetentionError):
    """A run was to be started while another one has not ended."""


class WrongRule(RetentionError):
    """A rule that nothing could keep, or that would change the past. The message says why."""
