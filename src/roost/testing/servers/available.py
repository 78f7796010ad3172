"""Which programs are on this machine, and what a test does without one."""

import os
import shutil
import sys
from pathlib import Path

NODE_FOLDER = Path(sys.prefix) / "node"
"""Where scripts/servers installs the servers that come from npm."""


def require(missing: str | None) -> None:
    """Skip the running test for the reason given, if any; in CI (CI=true) it fails instead."""
    if missing is None:
        return
    import pytest

    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def find_program(name: str, *folders: Path) -> str | None:
    """Return the path of a program in one of `folders`, or on the PATH; None if there is none."""
    for folder in folders:
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    return shutil.which(name)


def node_program(name: str) -> str | None:
    """Return the path of a program installed from npm."""
    if shutil.which("node") is None:
        return None
    return find_program(name, NODE_FOLDER / "node_modules" / ".bin")


def not_installed(what: str, package: str) -> str:
    """Return the reason to skip."""
    return f"{what} is not installed (scripts/servers, or: {package})"
