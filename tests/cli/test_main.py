"""The command `roost` starts fast, and still lists all it can do."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import roost
from roost.cli.main import COMMANDS, ELSEWHERE, app, load
from roost.cli.output import show_json
from roost.volume.meta.answers import QuotaOf
from roost.volume.model import Quota, QuotaKind

HEAVY = ("numpy", "faiss", "pyarrow", "redis", "cryptography", "opendal", "rich.progress")
CLI = Path(__file__).parents[2] / "src/roost/cli"


def test_the_command_line_imports_no_command_until_it_is_run() -> None:
    code = (
        "import sys, roost.cli.main;"
        f"print([m for m in {HEAVY} if m in sys.modules],"
        " sorted(m for m in sys.modules if m.startswith('roost.cli.')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == (
        "[] ['roost.cli.arguments', 'roost.cli.main', 'roost.cli.output']"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_as_it_describes_itself(name: str) -> None:
    command = load(name)
    assert " ".join(command.help.split("\n\n")[0].split("\n")) == COMMANDS[name][1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_subcommand_shows_an_example(name: str) -> None:
    command = load(name)
    for one in getattr(command, "commands", {"": command}).values():
        assert one.hidden or re.search(r"Example: (\w+=\S+ )?roost ", one.help), (
            f"{name} {one.name}"
        )


def test_every_module_that_registers_commands_is_listed() -> None:
    registering = {path.stem for path in CLI.glob("*.py") if "\ndef register(" in path.read_text()}
    assert {module for module, _ in COMMANDS.values()} == registering


def test_help_lists_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert [name for name in COMMANDS if f"│ {name} " not in shown] == []


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_shown(flag: str) -> None:
    assert CliRunner().invoke(app, [flag]).output == f"roost version {roost.__version__}\n"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_command_that_only_juicefs_has_is_refused_by_name(name: str) -> None:
    assert name not in COMMANDS
    said = CliRunner().invoke(app, [name, "redis://localhost", "/mnt/jfs"])
    assert said.exit_code == 2
    assert f"no command {name} yet" in said.output
    assert "hint: Use" in said.output or "hint: Mount" in said.output


def test_an_unknown_command_is_told_its_neighbours() -> None:
    said = CliRunner().invoke(app, ["stat"])
    assert said.exit_code == 2
    assert "'stats'" in said.output


@pytest.mark.parametrize("flags", [[], ["-l"], ["--json"]])
def test_names_that_are_no_utf8_are_shown_as_escapes(tmp_path: Path, flags: list[str]) -> None:
    (tmp_path / os.fsdecode(b"odd\xff")).touch()
    ran = subprocess.run(
        [sys.executable, "-m", "roost", "ls", *flags, str(tmp_path)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "odd\\udcff" in ran.stdout


def test_a_result_that_cannot_be_written_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "roost", "ls", "--json", str(tmp_path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (3, "error: No space left on device\n")


def test_a_reader_that_goes_away_ends_the_command_silently(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "roost", "ls", "--json", str(tmp_path)],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert "Traceback" not in ran.stderr
    assert "error" not in ran.stderr
    assert ran.returncode != 0


def test_a_local_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["ls", str(tmp_path / "none")])
    assert said.exit_code == 2
    assert "none: No such file or directory" in said.output


@pytest.mark.parametrize("name", ["info", "summary"])
def test_a_metadata_url_in_place_of_a_path_is_told_where_it_belongs(name: str) -> None:
    said = CliRunner().invoke(app, [name, "redis://:secret@localhost/1"])
    assert said.exit_code == 2
    assert "--meta" in said.output
    assert "secret" not in said.output


def test_the_name_of_an_enumerated_value_is_shown_in_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_json([QuotaOf(QuotaKind.DIRECTORY, 2, Quota(), "/a")])
    assert json.loads(capsys.readouterr().out)[0]["kind"] == "directory"


def test_every_guide_is_linked_from_the_list_of_documents() -> None:
    docs = CLI.parents[2] / "docs"
    listed = (docs / "README.md").read_text()
    assert [
        p.name for p in (docs / "guide").glob("*.md") if f"(guide/{p.name})" not in listed
    ] == []


def test_a_defect_shows_its_traceback_and_has_a_code_of_its_own() -> None:
    code = (
        "import sys; from roost.cli import ls, main;"
        "ls.located = None; sys.argv = ['roost', 'ls', '/']; main.main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 70
    assert "Traceback" in ran.stderr
