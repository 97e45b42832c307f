"""Root file system of a stand-in image, made of programs and folders of this machine, with the libraries they need."""

import glob
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
LIBRARIES = "/usr/lib/*-linux-gnu"
ELF = b"\x7fELF"
LOADED = re.compile(r"(/\S+) \(0x")
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
COPY_BYTES = 2**20


@dataclass(frozen=True)
class Entry:
    """A path that this machine has no file for: a folder, or a file with this text."""

    path: str
    text: str | None = None
    mode: int = 0o755
    owner: int = 0


@dataclass
class Rootfs:
    """The files of one image."""

    paths: dict[str, Path] = field(default_factory=dict)
    """The path in the image, without the first slash, and the file on this machine."""
    entries: list[Entry] = field(default_factory=list)

    def add(self, path: str | Path, to: str | None = None) -> None:
        """Add a file under its own name, also if that is a symbolic link, or as ``to``."""
        self.paths[(to or canonical(Path(path))).strip("/")] = Path(os.path.realpath(path))

    def add_programs(self, *names: str) -> None:
        for name in names:
            found = shutil.which(name, path=SYSTEM_PATH)
            assert found, f"this machine has no {name}"
            self.add(found)

    def add_tree(self, folder: str | Path, to: str | None = None, without: Iterable[str] = ()) -> None:
        """Add the files of a folder, without those whose path below it matches a pattern."""
        source, patterns = Path(folder), list(without)
        for where, folders, files in os.walk(source, followlinks=True):
            below = Path(where).relative_to(source)
            folders[:] = [name for name in folders if not excluded(below / name, patterns)]
            for name in files:
                if not excluded(below / name, patterns) and (Path(where) / name).exists():
                    self.add(Path(where) / name, str(Path(to or canonical(source)) / below / name))

    def add_libraries(self, *names: str) -> None:
        """Add what the loader would load for the files so far, and libraries by name."""
        for name in names:
            for found in glob.glob(f"{LIBRARIES}/{name}"):
                self.add(found)
        programs = sorted({path for path in self.paths.values() if is_elf(path)})
        listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
        for path in sorted(set(LOADED.findall(listed))):
            own = canonical(Path(path))
            if own.lstrip("/") not in self.paths:  # of a folder that other users may not enter, it goes to the others
                self.add(path, to=own if own.startswith("/usr/lib") else f"{glob.glob(LIBRARIES)[0]}/{Path(path).name}")

    def fingerprint(self, *more: object) -> str:
        """A digest that changes with the files and with ``more``."""
        digest = hashlib.sha256(repr((self.entries, more)).encode())
        for name, source in sorted(self.paths.items()):
            status = source.stat()
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns} {status.st_mode}\n".encode())
        return digest.hexdigest()[:32]

    def write(self, stream: IO[bytes]) -> None:
        """Write the files as a tar archive."""
        with tarfile.open(mode="w|", fileobj=stream, bufsize=COPY_BYTES, copybufsize=COPY_BYTES) as archive:  # type: ignore[call-overload]  # typeshed lacks copybufsize
            for entry, content in self._members():
                archive.addfile(entry, content)
                if content is not None:
                    content.close()

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
        for link, target in MERGED.items():
            yield member(link, tarfile.SYMTYPE, 0o777, target=target), None
        folders = [entry for entry in self.entries if entry.text is None]
        yield from ((member(entry.path, tarfile.DIRTYPE, entry.mode, entry.owner), None) for entry in folders)
        for name, source in sorted(self.paths.items()):
            status = source.stat()
            found = member(name, tarfile.REGTYPE, status.st_mode & 0o755)
            found.size, found.mtime = status.st_size, int(status.st_mtime)
            yield found, source.open("rb")
        for entry in self.entries:
            if entry.text is not None:
                content = entry.text.encode()
                found = member(entry.path, tarfile.REGTYPE, entry.mode, entry.owner)
                found.size = len(content)
                yield found, io.BytesIO(content)


def canonical(path: Path) -> str:
    """A path as it is named where /bin, /lib and the like are links into /usr."""
    return str(Path(os.path.realpath(path.parent)) / path.name)


def excluded(path: Path, patterns: Iterable[str]) -> bool:
    return any(fnmatch(str(path), pattern) for pattern in patterns)


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(ELF)) == ELF


def member(path: str, kind: bytes, mode: int, owner: int = 0, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(path.strip("/"))
    made.type, made.mode, made.uid, made.gid, made.linkname = kind, mode, owner, owner, target
    return made
