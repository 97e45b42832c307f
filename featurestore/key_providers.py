"""Lists of keys that a key provider holds: the environment, or a file. Written as ``ID:KEY,ID:KEY``; the first is used,
the others are for what earlier ones made.
"""

from pathlib import Path

from featurestore.config import KEY_LIST

FILE = "file:"


class ListUnusable(Exception):
    """A list of keys that can't be read. The text follows the name of the list."""


def listed_keys(provider: str, in_environment: str) -> list[tuple[str, str]]:
    """Ids and keys, in order. Raises ListUnusable."""
    text = _file(provider.removeprefix(FILE)) if provider.startswith(FILE) else in_environment
    if not KEY_LIST.fullmatch(text):
        raise ListUnusable(f"from {provider} are not written as ID:KEY,ID:KEY.")
    pairs = [one.split(":") for one in text.split(",")]
    if len({key_id for key_id, _ in pairs}) < len(pairs):
        raise ListUnusable(f"from {provider} have an id twice.")
    return [(key_id, key) for key_id, key in pairs]


def _file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ListUnusable(f"can't be read from their file: {error}.") from None
