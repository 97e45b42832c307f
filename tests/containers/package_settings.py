"""Settings of pip on this machine, for an image's build: mounted while it runs, so that no layer has them."""

import subprocess
import sys
from pathlib import Path

CERTIFICATES, MOUNTED = "/etc/ssl/certs", "/etc/pip.conf"


def mounts(folder: Path) -> list[str]:
    """Volumes of a build: a configuration that says what pip's files and variables say here, and the files it names."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    options: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        scope, _, option = name.rpartition(".")
        if scope in {"global", "install", ":env:"}:
            options[option] = value.strip("'\"")
    configuration = folder / "pip.conf"
    configuration.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in options.items()))
    named = {value for value in options.values() if value.startswith("/") and is_needed(Path(value))}
    return [f"{path}:{path}:ro" for path in sorted({CERTIFICATES, *named})] + [f"{configuration}:{MOUNTED}:ro"]


def is_needed(path: Path) -> bool:
    """Whether a file or folder has something to mount, and is not mounted with the certificates."""
    if path.is_relative_to(CERTIFICATES):
        return False
    return any(path.iterdir()) if path.is_dir() else path.exists()
