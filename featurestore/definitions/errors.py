"""What is wrong with a definition, and where."""

import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


class DefinitionError(Exception):
    """A definition that can't work. ``place`` is the file and line to change; the message says to what."""

    def __init__(self, message: str, place: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place


def place_of_caller() -> str:
    """``file:line`` of the nearest caller outside this package: the definition being written."""
    frame = sys._getframe(1)
    while Path(frame.f_code.co_filename).parent == PACKAGE or frame.f_code.co_filename == "<string>":
        assert frame.f_back is not None
        frame = frame.f_back
    return place_of(frame.f_code.co_filename, frame.f_lineno)


def place_of(filename: str, line: int) -> str:
    """``file:line``, as short as a terminal can still follow it."""
    path = Path(filename)
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{line}"
