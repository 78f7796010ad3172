"""The servers of the tests: a place of one's own, data kept over a kill, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from roost.errors import Unavailable
from roost.testing.servers import (
    AzuriteServer,
    MariadbServer,
    PostgresServer,
    RedisSentinel,
    RedisServer,
    S3Server,
    Server,
    require,
)
from roost.testing.servers.redis import RedisOptions


def test_a_killed_redis_comes_back_on_its_port_with_its_data() -> None:
    require(RedisServer.missing())
    with RedisServer(RedisOptions(appendfsync="always")) as server:
        server.client(3).set("kept", "1")
        port, first = server.port, server.pid
        server.kill()
        with pytest.raises(redis.ConnectionError):
            server.client(3).get("kept")
        server.restart()
        assert server.port == port
        assert server.pid != first
        assert server.client(3).get("kept") == b"1"
        folder = server.folder
    assert not folder.exists()


def test_a_redis_database_is_empty_and_of_ones_own(redis_server: RedisServer) -> None:
    one, other = redis_server.new_database(), redis_server.new_database()
    assert one != other
    with redis.Redis.from_url(one) as client:
        client.set("a", "1")
    with redis.Redis.from_url(other) as client:
        assert client.dbsize() == 0


def test_a_redis_with_tls_users_or_slots_is_what_its_options_say() -> None:
    require(RedisServer.missing())
    with RedisServer(RedisOptions(tls=True)) as server:
        url = f"rediss://127.0.0.1:{server.port}/1?ssl_ca_certs={server.certificate}"
        with redis.Redis.from_url(url) as client:
            assert client.ping()
    guest = "guest on >secret ~* &* +@all -eval -evalsha -config"
    with (
        RedisServer(RedisOptions(password="pw", users=(guest,))) as server,
        redis.Redis(port=server.port, username="guest", password="secret") as client,
    ):
        client.set("a", "1")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.eval("return 1", 0)
    with RedisServer(RedisOptions(cluster=True)) as server, server.client() as client:
        client.set("a", "1")


def test_a_sentinel_names_its_master(redis_server: RedisServer) -> None:
    with RedisSentinel(redis_server) as sentinel:
        known = redis.Sentinel([("127.0.0.1", sentinel.port)])
        assert known.discover_master("roost") == ("127.0.0.1", redis_server.port)


@pytest.mark.parametrize("kind", [MariadbServer, PostgresServer])
def test_a_killed_sql_server_keeps_what_was_committed(
    kind: type[MariadbServer] | type[PostgresServer],
) -> None:
    require(kind.missing())
    with kind() as server:
        server.new_database()
        if isinstance(server, PostgresServer):
            server.execute("CREATE TABLE kept (n int)", "roost1")
        else:
            server.execute("CREATE TABLE roost1.kept (n int)")
        server.kill()
        server.restart()
        if isinstance(server, PostgresServer):
            assert server.execute("SELECT count(*) FROM kept", "roost1") == [(0,)]
        else:
            assert server.execute("SELECT count(*) FROM roost1.kept") == [(0,)]


def test_a_container_and_a_bucket_can_be_made(
    azurite_server: AzuriteServer, s3_server: S3Server
) -> None:
    made = azurite_server.new_container()
    assert (Path(s3_server.folder) / "buckets" / s3_server.new_bucket()).is_dir()
    with pytest.raises(Unavailable, match="ContainerAlreadyExists"):
        azurite_server.new_container(made)


def test_a_server_that_does_not_start_says_why_and_leaves_nothing() -> None:
    require(RedisServer.missing())
    made: list[Server] = []

    class Wrong(RedisServer):
        def _prepare(self) -> None:
            made.append(self)
            (self.folder / "redis.conf").write_text("no-such-setting 1\n")

    with pytest.raises(Unavailable, match="no-such-setting"):
        Wrong()
    assert not made[0].folder.exists()


def test_a_missing_program_skips_and_in_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="no redis"):
        require("no redis")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no redis"):
        require("no redis")


def test_a_server_runs_in_a_session_of_its_own(redis_server: RedisServer) -> None:
    assert os.getsid(redis_server.pid) == redis_server.pid


STARTS_AND_DIES = """
import os, signal
from roost.testing.servers import RedisServer
server = RedisServer()
print(server.pid, server.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_goes_with_the_process_that_started_it_even_if_that_is_killed() -> None:
    require(RedisServer.missing())
    done = subprocess.run(
        [sys.executable, "-c", STARTS_AND_DIES], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pid, _, folder = done.stdout.strip().partition(" ")
    ends = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() or Path(folder).exists():
        assert time.monotonic() < ends, f"{pid} in {folder} is left behind"
        time.sleep(0.02)
