"""Metadata URLs as JuiceFS spells them."""

from pathlib import Path

import pytest

from roost.errors import InvalidArgument
from roost.volume.engines.registry import MetaUrl, engine_kind, parse_url


def parsed(text: str) -> MetaUrl:
    return parse_url(text, {})


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost", MetaUrl("redis", hosts=("localhost",))),
        ("localhost:6380/2", MetaUrl("redis", hosts=("localhost:6380",), database="2")),
        (
            "redis://me:p%40ss@h:1/3",
            MetaUrl("redis", user="me", password="p@ss", hosts=("h:1",), database="3"),
        ),
        ("rediss://:p@x@h/0", MetaUrl("rediss", password="p@x", hosts=("h",), database="0")),
        ("redis://m,s1,s2:5/1", MetaUrl("redis", hosts=("m", "s1", "s2:5"), database="1")),
        ("redis://[::1]:7/1", MetaUrl("redis", hosts=("[::1]:7",), database="1")),
        (
            "unix:///run/r.sock?db=4",
            MetaUrl("unix", "/run/r.sock", database="4", options=(("db", "4"),)),
        ),
        ("sqlite3://meta.db?a=1", MetaUrl("sqlite3", "meta.db", options=(("a", "1"),))),
        ("memory://x", MetaUrl("memory", "x")),
        (
            "mysql://u:pw@(h:3306)/db",
            MetaUrl("mysql", user="u", password="pw", hosts=("h:3306",), database="db"),
        ),
        (
            "mysql://u:pw@h:3306/db",
            MetaUrl("mysql", user="u", password="pw", hosts=("h:3306",), database="db"),
        ),
        (
            "mysql://u:p@w@unix(/run/a b/m.sock)/db?tls=false",
            MetaUrl("mysql", "/run/a b/m.sock", "u", "p@w", (), "db", (("tls", "false"),)),
        ),
        (
            "postgres://u:pw@/db?host=/run/postgresql",
            MetaUrl(
                "postgres", "/run/postgresql", "u", "pw", (), "db", (("host", "/run/postgresql"),)
            ),
        ),
        ("postgresql://u@h/db", MetaUrl("postgres", user="u", hosts=("h",), database="db")),
    ],
)
def test_a_url_is_spelled_as_juicefs_spells_it(text: str, url: MetaUrl) -> None:
    assert parsed(text) == url


def test_a_missing_password_comes_from_the_environment() -> None:
    variables = {"META_PASSWORD": "secret"}
    assert parse_url("redis://h", variables).password == "secret"
    assert parse_url("redis://:own@h", variables).password == "own"
    assert parse_url("redis://h", {**variables, "REDIS_PASSWORD": "first"}).password == "first"
    assert parse_url("mysql://u@h/db", {**variables, "REDIS_PASSWORD": "x"}).password == "secret"


@pytest.mark.parametrize(
    "text",
    [
        "redis://:secret@h:1/2",
        "mysql://u:secret@(h:1)/db",
        "unix://:secret@/run/r.sock",
        "mysql://u:secret@unix(/run/m)/db",
    ],
)
def test_what_is_shown_of_a_url_has_no_password(text: str) -> None:
    url = parsed(text)
    assert "secret" not in url.display + repr(url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "://",
        "oracle://h/db",
        "sqlite3://",
        "mysql://u@h",
        "redis://",
        "postgres://u@/db",
        "mysql://u@unix(/run/m)",
        "mysql://u@unix(/run/m/db",
        "mysql://u@unix(m)/db",
    ],
)
def test_what_is_no_url_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parsed(text)
    assert "sqlite3://" in refusal.value.hint


def test_a_refused_url_keeps_its_password_to_itself() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parsed("oracle://u:secret@h/db")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("text", ["redis://h", "sqlite3://x", "memory://x"])
def test_a_scheme_has_an_engine(text: str) -> None:
    kind = engine_kind(parsed(text))
    assert callable(kind.create_engine)
    assert callable(kind.open_engine)


def test_a_password_may_come_from_a_file(folder: Path) -> None:
    (folder / "password").write_text(" from a file\n")
    variables = {"META_PASSWORD_FILE": str(folder / "password")}
    assert parse_url("mysql://u@h/db", variables).password == "from a file"
    assert parse_url("redis://h", variables).password == "from a file"
    assert parse_url("redis://:own@h", variables).password == "own"
    assert parse_url("redis://h", {**variables, "META_PASSWORD": "first"}).password == "first"
    with pytest.raises(InvalidArgument, match="password file"):
        parse_url("redis://h", {"META_PASSWORD_FILE": str(folder / "missing")})
