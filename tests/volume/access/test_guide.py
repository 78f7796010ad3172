"""The guides' examples run as they stand."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from roost.cli import sync, warmup
from roost.testing.volumes import TestVolume

app = typer.Typer()
for module in (sync, warmup):
    module.register(app)

GUIDES = Path(__file__).parents[3] / "docs/guide"


def blocks(guide: str, language: str) -> list[str]:
    text = (GUIDES / guide).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(volume: TestVolume, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "ROOST_META": volume.meta_url,
        "META_URL": volume.meta_url,
        "XDG_CACHE_HOME": str(tmp_path / "xdg"),
        "WORK": str(tmp_path / "work"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def test_the_python_guide_runs(environment: dict[str, str], tmp_path: Path) -> None:
    found = blocks("python.md", "python")
    assert len(found) >= 6
    script = tmp_path / "guide.py"
    lines = ["import os\nmeta_url = os.environ['ROOST_META']\n", *found]
    script.write_text("\n".join(lines))
    ran = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_the_sync_guide_runs(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    work = tmp_path / "work/photos"
    (work / ".cache").mkdir(parents=True)
    for name in ("a.jpg", "b.tmp", ".cache/c.jpg"):
        (work / name).write_bytes(b"x" * 100)
    for line in "".join(blocks("sync.md", "sh")).splitlines():
        command, *arguments = shlex.split(os.path.expandvars(line))
        if command == "export":
            monkeypatch.setenv(*arguments[0].split("=", 1))
            continue
        assert command == "roost"
        ran = CliRunner().invoke(app, arguments)
        assert ran.exit_code == 0, f"{line}: {ran.output}"
    assert {p.name for p in (tmp_path / "work/back").iterdir()} == {"a.jpg"}
    assert {p.name for p in (tmp_path / "work/again").iterdir()} == {"a.jpg", "b.tmp", ".cache"}
