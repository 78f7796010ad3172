"""The protocols come with the installed distribution: nothing is registered by hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from roost.testing.volumes import TestVolume

FSSPEC = """
import sys, fsspec
from fsspec.core import url_to_fs
made, path = url_to_fs("{protocol}:///d/f")
made.pipe_file(path, b"hello")
with fsspec.open("{protocol}:///d/f", "rb") as file:
    assert file.read() == b"hello"
assert type(made).__module__ == "roost.volume.access.filesystem", type(made)
assert type(fsspec.filesystem("{protocol}")) is type(made)
print("through fsspec")
"""
UPATH = """
from upath import UPath
folder = UPath("{protocol}:///d")
(folder / "f").write_bytes(b"hello")
assert [one.name for one in folder.iterdir()] == ["f"]
assert (folder / "f").read_bytes() == b"hello"
assert type(folder).__module__ == "roost.volume.access.paths", type(folder)
named = UPath("{protocol}://photos/d")
assert [one.name for one in named.iterdir()] == ["f"]
assert (named / "f").read_bytes() == b"hello"
print("through UPath")
"""


@pytest.mark.parametrize("protocol", ["roost", "jfs"])
@pytest.mark.parametrize("program", [FSSPEC, UPATH], ids=["fsspec", "upath"])
def test_a_program_that_imports_nothing_of_roost_uses_its_urls(
    volume: TestVolume, tmp_path: Path, protocol: str, program: str
) -> None:
    volume.open().mkdir("/d")
    ran = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program.format(protocol=protocol)],
        env={
            **os.environ,
            "ROOST_META": volume.meta_url,
            "photos": volume.meta_url,
            "XDG_CACHE_HOME": str(tmp_path / "xdg"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("through")
