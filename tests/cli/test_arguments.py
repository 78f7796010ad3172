"""JuiceFS's command lines are understood: global flags, values of switches, refusals by name."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from roost.cli.arguments import GlobalFlags, command_arguments, leading_flags
from roost.cli.main import COMMANDS, app, load
from roost.errors import InvalidArgument, Unsupported
from roost.telemetry import logs


@pytest.fixture(autouse=True)
def _own_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    monkeypatch.setattr(logs, "_demanded", "")
    monkeypatch.setenv("NO_COLOR", "")
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def taken(name: str, *arguments: str) -> tuple[list[str], GlobalFlags]:
    flags = GlobalFlags()
    return command_arguments(arguments, name, load(name), flags), flags


def test_global_flags_before_the_command_are_taken() -> None:
    flags = GlobalFlags()
    rest = leading_flags(["-v", "--no-agent", "--log-id", "x", "--no-color", "status", "-q"], flags)
    assert rest == ["status", "-q"]
    assert flags == GlobalFlags("DEBUG", "x", True)


@pytest.mark.parametrize(
    ("flag", "level"),
    [
        *(("-v", "DEBUG"), ("--verbose", "DEBUG"), ("--debug", "DEBUG"), ("--trace", "DEBUG")),
        *(("-q", "WARNING"), ("--quiet", "WARNING"), ("--quiet=false", ""), ("--no-agent", "")),
    ],
)
def test_global_flags_after_the_command_are_taken(flag: str, level: str) -> None:
    rest, flags = taken("status", "redis://localhost/1", flag, "--json")
    assert rest == ["redis://localhost/1", "--json"]
    assert flags.level == level


def test_an_option_of_the_command_is_its_own() -> None:
    assert taken("cp", "-q", "a", "b") == (["-q", "a", "b"], GlobalFlags())


def test_values_and_what_follows_two_dashes_are_left_alone() -> None:
    line = ["--meta", "-v", "--", "-q", "--all=false"]
    assert taken("ls", *line) == (line, GlobalFlags())


def test_a_subcommand_is_looked_into() -> None:
    rest, flags = taken("quota", "-v", "set", "redis://h/1", "--json=false", "--path", "/d")
    assert rest == ["set", "redis://h/1", "--path", "/d"]
    assert flags.level == "DEBUG"
    assert taken("bench", "/mnt/jfs", "-p", "4")[0] == ["/mnt/jfs", "-p", "4"]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("--dir-stats=false", ["--no-dir-stats"]),
        ("--dir-stats=true", ["--dir-stats"]),
        ("--no-dir-stats=true", ["--no-dir-stats"]),
        ("--no-dir-stats=false", ["--dir-stats"]),
        ("--user-group-quota=T", ["--user-group-quota"]),
        ("--enable-acl=0", ["--no-enable-acl"]),
        ("--yes=false", []),
        ("-y=1", ["--yes"]),
        ("--bucket=true", ["--bucket=true"]),
        ("--nonsense=true", ["--nonsense=true"]),
    ],
)
def test_a_switch_takes_a_value(given: str, made: list[str]) -> None:
    assert taken("config", "url", given)[0] == ["url", *made]


def test_a_switch_is_on_or_off() -> None:
    with pytest.raises(InvalidArgument, match="--dir-stats=maybe"):
        taken("config", "url", "--dir-stats=maybe")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_switch_can_be_turned_off_by_a_value(name: str) -> None:
    for param in load(name).params:
        if getattr(param, "is_flag", False):
            assert param.secondary_opts or not param.default, param.name


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("dump", "--binary"),
        ("load", "--binary"),
        ("load", "--stat"),
        ("load", "--offset=-1"),
        ("load", "--threads"),
        ("format", "--ranger-rest-url"),
        ("config", "--ranger-service=x"),
        ("config", "--kerberos-config-file"),
        ("config", "--changelog=true"),
        ("config", "--changelog-max-age"),
    ],
)
def test_what_only_juicefs_has_is_refused_by_name(name: str, option: str) -> None:
    with pytest.raises(Unsupported, match=f"^{option.partition('=')[0]}: ") as raised:
        taken(name, "redis://localhost/1", option, "1")
    assert raised.value.hint


@pytest.mark.parametrize(
    ("name", "option"), [("dump", "--binary"), ("load", "--stat"), ("config", "--changelog")]
)
def test_what_only_juicefs_has_may_be_off(name: str, option: str) -> None:
    assert taken(name, f"{option}=false", "redis://localhost/1")[0] == ["redis://localhost/1"]


@pytest.mark.parametrize("value", ["true", "x", "1", ""])
def test_what_only_juicefs_has_is_refused_by_name_unless_it_is_off(value: str) -> None:
    with pytest.raises(Unsupported, match=r"^--binary: "):
        taken("dump", f"--binary={value}")


def test_the_refusal_is_one_line_and_a_hint() -> None:
    result = CliRunner().invoke(app, ["dump", "--binary", "redis://localhost/1"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --binary: the binary form")
    assert "without --binary" in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_short_option_for_help(name: str) -> None:
    result = CliRunner().invoke(app, [name, "-h"])
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


def test_a_level_demanded_stays_whatever_a_command_sets_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = CliRunner().invoke(app, ["ls", str(tmp_path), "-v", "--log-id", "100%"])
    assert result.exit_code == 0
    logs.set_up("ERROR")
    logging.getLogger("roost.test").debug("shown")
    assert logging.getLogger().level == logging.DEBUG
    handler = logging.getLogger().handlers[0]
    record = logging.LogRecord("roost.test", logging.DEBUG, "", 0, "shown", None, None)
    assert handler.format(record).startswith("[100%] ")
