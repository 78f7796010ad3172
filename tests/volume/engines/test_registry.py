"""Metadata URLs as JuiceFS spells them."""

from pathlib import Path
from urllib.parse import quote

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


ODD = "p?a#s@s/w%o:rd&=+ ä"
CODED = quote(ODD, safe="")


@pytest.mark.parametrize(
    "text",
    [
        "redis://me:{}@h:1/2?x=1",
        "rediss://me:{}@h:1/2?x=1",
        "unix://me:{}@/run/r.sock?db=2&x=1",
        "mysql://me:{}@(h:1)/2?x=1",
        "mysql://me:{}@unix(/run/m.sock)/2?x=1",
        "postgres://me:{}@h:1/2?x=1",
        "postgres://me:{}@/2?host=/run/p&x=1",
    ],
)
def test_a_password_of_any_characters_is_percent_encoded(text: str) -> None:
    url = parsed(text.format(CODED))
    assert (url.user, url.password, url.database) == ("me", ODD, "2")
    assert url.option("x") == "1"
    from_environment = parse_url(text.replace(":{}", ""), {"META_PASSWORD": ODD})
    assert from_environment == url


@pytest.mark.parametrize("password", ["a?b", "a@b?c", "?", "a?b=c", "a/b?c@d/e", "#?#", "a?b&c"])
def test_a_password_of_mysql_may_be_written_as_it_is(password: str) -> None:
    """As the driver of the original has it: the login ends at the last "@" before the last "/"."""
    for place in ("(h:1)", "h:1"):
        url = parsed(f"mysql://u:{password}@{place}/db?x=1")
        assert (url.user, url.password, url.hosts, url.database) == ("u", password, ("h:1",), "db")
        assert url.option("x") == "1"
    url = parsed(f"mysql://u:{password}@unix(/run/m.sock)/db")
    assert (url.password, url.path, url.database) == (password, "/run/m.sock", "db")


@pytest.mark.parametrize("password", ["a/b", "a@b", "a#b", "a:b", "100%", "a b", "a&b=c"])
def test_what_can_have_one_meaning_only_is_taken_in_a_password(password: str) -> None:
    assert parsed(f"redis://:{password}@h:1/2").password == password
    assert parsed(f"postgres://u:{password}@h:1/2").password == password


@pytest.mark.parametrize("password", ["se?cret", "se?cr@et", "s@e?cret", "?secret", "se/c?r/et"])
@pytest.mark.parametrize(
    "text", ["redis://:{}@h:1/2?x=1", "unix://u:{}@/run/r.sock?db=1", "postgres://u:{}@h:1/2"]
)
def test_a_question_mark_in_a_password_is_refused_and_not_shown(text: str, password: str) -> None:
    """It would begin the options, and what stands before it would be the host."""
    with pytest.raises(InvalidArgument) as refusal:
        parsed(text.format(password))
    assert "%3F" in refusal.value.hint
    shown = str(refusal.value) + refusal.value.hint
    assert not any(part in shown for part in ("se?", "cret", "cr@", "s@e", "et@"))


def test_an_option_may_hold_an_at_sign() -> None:
    url = parsed("postgres://u:pw@h/db?application_name=me@x")
    assert (url.password, url.option("application_name")) == ("pw", "me@x")
    assert parsed("redis://h/1?tls-cert-file=%40x").option("tls-cert-file") == "@x"


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Asia%2FShanghai"])
@pytest.mark.parametrize("place", ["(h:1)", "h:1", "tcp(h:1)", "unix(/run/m.sock)"])
@pytest.mark.parametrize("login", ["", "u:p@", "u:a/b?c@d/e@"])
def test_a_slash_in_an_option_of_mysql_ends_no_options(login: str, place: str, zone: str) -> None:
    """JuiceFS 1.4 takes both spellings, and goes on to use TLS."""
    url = parsed(f"mysql://{login}{place}/db?tls=true&loc={zone}")
    assert url.database == "db"
    assert url.options == (("tls", "true"), ("loc", "Asia/Shanghai"))


@pytest.mark.parametrize(
    "text",
    [
        "mysql://u:secret@(h:3306)/db?tls=true&p=a@b/c",
        "mysql://u:secret@(h:3306)/db?tls=true&p=a@b",
        "mysql://u:secret@(h:3306)/db?tls@b/c",
        "mysql://u:secret@h:3306/db?p=a@b/c",
        "mysql://u:secret@unix(/run/m.sock)/db?p=a@b/c",
        "mysql://h:3306/db?p=secret@b/c",
        "redis://u:secret@b?c=d@host/1",
        "redis://u:secret@b?c=d@host",
        "redis://u:secret@b/c?d=e@host/1",
        "redis://u:secret@b/c?d@host",
        "redis://u:secret/c?d=e@host",
        "rediss://u:secret@b?c=d&e=f@host/1",
        "unix://u:secret@b?c=d@/run/r.sock",
        "postgres://u:secret@b?c=d@h/db",
        "postgres://u:secret@b/c?d=e@h/db",
    ],
)
def test_options_that_could_be_a_password_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parsed(text)
    assert "%40" in refusal.value.hint
    assert "secret" not in str(refusal.value) + refusal.value.hint


@pytest.mark.parametrize(
    "text", ["mysql://u:secret@(h:1)/db&tls=true", "postgres://u:secret@h/d=b"]
)
def test_options_in_the_place_of_a_database_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="in the name of the database") as refusal:
        parsed(text)
    assert "secret" not in str(refusal.value)


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
