"""Login, API key and customers of the demo, in a file that only its owner may read."""

import os
from pathlib import Path
from typing import Self

import msgspec


class Credentials(msgspec.Struct):
    """Generated credentials. ``url`` is that of the API and the administration."""

    url: str
    login: str
    password: str
    api_key: str
    notice: str
    customers: list[str]

    def save(self, file: Path) -> None:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(msgspec.json.encode(self))

    @classmethod
    def load(cls, file: Path) -> Self:
        return msgspec.json.decode(file.read_bytes(), type=cls)
