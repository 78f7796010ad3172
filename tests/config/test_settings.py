"""Settings: defaults, file, command line; nothing unknown gets through."""

from pathlib import Path

import pytest

from roost.config.settings import Settings, check_names, load
from roost.errors import InvalidArgument


def test_command_line_wins_over_file_and_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "roost.toml"
    file.write_text('port = 1234\nreaders = 3\ndata = "here"\n[engine]\nflush_rows = 10\n')
    settings = load(file, {"port": 99, "host": None})
    assert settings == Settings(data=Path("here"), port=99, readers=3, engine={"flush_rows": 10})


def test_an_unknown_key_is_refused_with_the_closest_known_one() -> None:
    with pytest.raises(InvalidArgument) as caught:
        load(None, {"prot": 1})
    assert "prot" in str(caught.value)
    assert "port" in caught.value.hint


@pytest.mark.parametrize(
    "text", ['port = "high"\n', "port = true\n", "port = \n", "data = 3\n", "engine = 3\n"]
)
def test_a_file_with_a_wrong_value_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "roost.toml"
    file.write_text(text)
    with pytest.raises(InvalidArgument):
        load(file, {})


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"nothing\.toml"):
        load(tmp_path / "nothing.toml", {})


def test_names_of_a_section_are_checked_too() -> None:
    check_names({"flush_rows": 1}, {"flush_rows": 2}, "engine")
    with pytest.raises(InvalidArgument, match=r"engine\.flush_rowz"):
        check_names({"flush_rowz": 1}, {"flush_rows": 2}, "engine")


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="replicas must not be negative"):
        load(None, {"replicas": -1})


def test_a_number_that_is_no_port_is_refused() -> None:
    assert load(None, {"port": 65_535}).port == 65_535
    with pytest.raises(InvalidArgument, match="99999 is not a port"):
        load(None, {"port": 99_999})
