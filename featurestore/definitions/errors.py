"""Error of a definition, with the file and line to change. Pure."""

import sys

ROOT = __file__[: -len("featurestore/definitions/errors.py")]


class DefinitionError(Exception):
    """Definition that can't work. ``defined_at`` is the file and line to change; the message states how."""

    def __init__(self, message: str, defined_at: str) -> None:
        super().__init__(f"{defined_at}: {message}")
        self.defined_at, self.message = defined_at, message


def caller_line() -> str:
    """``file:line`` of the nearest caller outside this package: that of the definition."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith("featurestore.definitions."):
        assert frame.f_back is not None
        frame = frame.f_back
    return file_line(frame.f_code.co_filename, frame.f_lineno)


def file_line(filename: str, line: int) -> str:
    """``file:line``, for files of this project from its root."""
    return f"{filename.removeprefix(ROOT)}:{line}"
