"""Check of the Python that ``make`` is about to use, in words that every Python understands.

    python deploy/check_python.py

For a version that Rapport does not run on it prints one line, and fails. deploy/wheels.json says which packages other
versions lack.
"""

import sys

VERSIONS = ((3, 11), (3, 12), (3, 13), (3, 14))


def refusal(version):  # type: ignore[no-untyped-def]
    """What is wrong with a version, and what to do; None if nothing is."""
    if tuple(version[:2]) in VERSIONS:
        return None
    names = [".".join(map(str, each)) for each in VERSIONS]
    is_installed = ".venv" in sys.executable
    return "".join(
        [
            "Rapport runs on Python ", ", ".join(names[:-1]), " or ", names[-1], ", and ", sys.executable, " is ",
            ".".join(map(str, version[:2])), ": ", "remove .venv, then " if is_installed else "",
            "make BASE_PYTHON=python", names[0],
        ]
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(refusal(sys.version_info))
