"""Passwords of any characters, in the URL or the environment, on servers that ask for them."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from roost.errors import RoostError
from roost.testing.servers.available import require
from roost.testing.servers.mariadb import MariadbServer
from roost.testing.servers.postgres import PostgresServer
from roost.testing.servers.redis import RedisOptions, RedisServer
from roost.volume.meta.api import format_volume, open_meta
from roost.volume.settings import new_settings

PASSWORDS = ("p?a#s@s/w%o:rd", "?", "#@/?", "%41", "a b+c&d=e")
USER = "asked"


@pytest.fixture(params=PASSWORDS)
def password(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def redis_asked(password: str) -> Iterator[str]:
    """The URL of a Redis with that password (requirepass), with {} for the login."""
    require(RedisServer.missing())
    with RedisServer(RedisOptions(appendonly=False)) as server:
        with server.client() as client:
            client.config_set("requirepass", password)
        yield f"redis://{{}}127.0.0.1:{server.port}/1"


@pytest.fixture
def mariadb_asked(mariadb_server: MariadbServer, password: str) -> Iterator[str]:
    url = mariadb_server.new_database()
    mariadb_server.execute(f"CREATE OR REPLACE USER {USER} IDENTIFIED BY '{password}'")
    mariadb_server.execute(f"GRANT ALL ON *.* TO {USER}")
    yield f"mysql://{{}}(127.0.0.1:{mariadb_server.port})/{url.rpartition('/')[2]}"
    mariadb_server.execute(f"DROP USER {USER}")
    mariadb_server.drop_database(url)


@pytest.fixture
def postgres_asked(postgres_server: PostgresServer, password: str) -> Iterator[str]:
    """The server trusts everybody else on this host."""
    rules = postgres_server.folder / "data/pg_hba.conf"
    before = rules.read_text()
    url = postgres_server.new_database()
    rules.write_text(f"host all {USER} 127.0.0.1/32 scram-sha-256\n{before}")
    postgres_server.execute("SELECT pg_reload_conf()")
    postgres_server.execute(f"CREATE ROLE {USER} SUPERUSER LOGIN PASSWORD '{password}'")
    yield f"postgres://{{}}127.0.0.1:{postgres_server.port}/{url.rpartition('/')[2]}"
    postgres_server.drop_database(url)
    postgres_server.execute(f"DROP ROLE {USER}")
    rules.write_text(before)
    postgres_server.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize("kind", ["redis", "mariadb", "postgres"])
def test_a_password_of_any_characters_opens_the_volume(
    kind: str, request: pytest.FixtureRequest, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url: str = request.getfixturevalue(f"{kind}_asked")
    user = "" if kind == "redis" else USER
    coded = url.format(f"{user}:{quote(password, safe='')}@")
    format_volume(coded, new_settings("asked", bucket="/b"))
    with open_meta(coded) as meta:
        assert meta.settings.name == "asked"
    with pytest.raises(RoostError):
        open_meta(url.format(f"{user}:wrong@"))
    bare = url.format(f"{user}@" if user else "")
    with pytest.raises(RoostError):
        open_meta(bare)
    monkeypatch.setenv("META_PASSWORD", password)
    with open_meta(bare) as meta:
        assert meta.settings.name == "asked"
