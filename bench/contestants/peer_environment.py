"""A peer's own Python environment: made from its lock at the first use, and again when the lock changes."""

import shutil
import subprocess
import sys
from pathlib import Path

from devservers.results import ROOT


def environment_of(peer: str) -> Path:
    """The folder of the programs of ``quix`` or ``feast``."""
    lock = Path(__file__).with_name(f"{peer}.lock")
    home = ROOT / "var" / "bench" / peer
    made_from = home / lock.name
    if not made_from.exists() or made_from.read_bytes() != lock.read_bytes():
        print(f"making an environment for {peer} in {home}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", lock], check=True)
        shutil.copy(lock, made_from)
    return home / "bin"
