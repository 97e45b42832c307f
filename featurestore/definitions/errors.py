"""What is wrong with a definition, and where."""

import sys

ROOT = __file__[: -len("featurestore/definitions/errors.py")]


class DefinitionError(Exception):
    """A definition that can't work. ``place`` is the file and line to change; the message says to what."""

    def __init__(self, message: str, place: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place, self.message = place, message


def place_of_caller() -> str:
    """``file:line`` of the nearest caller outside this package: the definition being written."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith("featurestore.definitions."):
        assert frame.f_back is not None
        frame = frame.f_back
    return place_of(frame.f_code.co_filename, frame.f_lineno)


def place_of(filename: str, line: int) -> str:
    """``file:line``, for files of this project from its root."""
    return f"{filename.removeprefix(ROOT)}:{line}"
