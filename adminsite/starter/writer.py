"""Writer of the starter: files of templates, secrets, and the fingerprints of its views."""

import keyword
import os
import secrets
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from featurestore.installed_catalog import load_catalog

TEMPLATES = Path(__file__).with_name("files")
SUFFIX = "-tpl"
PACKAGE = "CATALOG"  # the folder of templates that gets the catalog's name
HIDDEN = {"gitignore", "dockerignore"}  # without their dot, so that no tool takes the templates for its own
ENVIRONMENT = ".env"
NAME_SUFFIX = "_catalog"
SECRETS = ("SECRET_KEY", "SUBJECT_SECRET", "CONTACT_KEY")
LISTS = ("SUPPRESSION_KEYS", "WRAPPING_KEYS", "AUDIT_LOG_KEYS")


class StarterError(Exception):
    """Starter that can't be written. The message states what to do."""


def name_for(folder: Path) -> str:
    """The catalog's name if none is given: hotel_catalog for a folder hotel."""
    stem = folder.resolve().name.lower().replace("-", "_").replace(".", "_").removesuffix(NAME_SUFFIX)
    return f"{stem}{NAME_SUFFIX}"


def write_starter(folder: Path, name: str) -> list[Path]:
    """Write a catalog, a test of it and what runs it; the files written. Replaces none. Raises StarterError."""
    refuse_name(name)
    texts = {
        **{target(template, name): text(template, name) for template in sorted(TEMPLATES.rglob(f"*{SUFFIX}"))},
        Path(ENVIRONMENT): environment(name),
    }
    if folder.exists() and not folder.is_dir():
        raise StarterError(f"{folder} is a file: name a folder, new or empty.")
    if present := [str(path) for path in texts if (folder / path).exists()]:
        raise StarterError(f"{folder} has {', '.join(present)} already, and nothing is replaced: name another folder.")
    for path, content in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600 if path.name == ENVIRONMENT else 0o666
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as opened:
            opened.write(content)
    written = load_catalog(name, folder.resolve())
    written.record()
    return [*texts, written.fingerprints.relative_to(folder.resolve())]


def refuse_name(name: str) -> None:
    """Raises StarterError for a name that can't be imported, or that imports something else."""
    if not name.isidentifier() or keyword.iskeyword(name) or not name.isascii() or name != name.lower():
        raise StarterError(f"{name!r} is no name of a module: name one with --name, as hotel_catalog.")
    if (spec := find_spec(name)) is not None:
        raise StarterError(f"{name} is a module already ({spec.origin}): name another one with --name.")


def target(template: Path, name: str) -> Path:
    """Where a template's file belongs, from the folder."""
    path = template.relative_to(TEMPLATES)
    stem = path.name.removesuffix(SUFFIX)
    folder = Path(*(name if part == PACKAGE else part for part in path.parent.parts))
    return folder / (f".{stem}" if stem in HIDDEN else stem)


def text(template: Path, name: str) -> str:
    found = template.read_text(encoding="utf-8")
    return found.replace("{{ catalog }}", name).replace("{{ version }}", version())


def version() -> str:
    """The version of the installed package; of a checkout ``latest``."""
    try:
        return metadata.version("rapport")
    except metadata.PackageNotFoundError:
        return "latest"


def environment(name: str) -> str:
    """Settings of the installation: its catalog, and secrets of its own."""
    lines = [f"RAPPORT_{setting}={secrets.token_urlsafe(48)}" for setting in SECRETS]
    lines += [f"RAPPORT_{name}=1:{secrets.token_urlsafe(48)}" for name in LISTS]
    return "\n".join([f"RAPPORT_CATALOG={name}", *lines, ""])
