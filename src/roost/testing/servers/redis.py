"""Redis: one server, optionally with AOF, users, a socket, TLS, or as a one-node cluster."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from roost.errors import Unavailable
from roost.testing.servers.available import find_program, not_installed
from roost.testing.servers.certificates import make_certificate
from roost.testing.servers.process import Server, free_port

DATABASES = 1000
SLOTS = 16384
MASTER_NAME = "roost"
"""What a sentinel of `RedisSentinel` calls its master."""


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """How a server is to run; the default is what JuiceFS recommends: AOF, synced each second."""

    appendonly: bool = True
    appendfsync: str = "everysec"
    password: str = ""
    """Of the default user."""
    users: tuple[str, ...] = ()
    """ACL rules, e.g. `"guest on >secret ~* &* +@all -eval -evalsha -config"`."""
    tls: bool = False
    """The port then speaks TLS only; `url` says rediss:// with the certificate's paths."""
    cluster: bool = False
    """A cluster of one node that owns every slot, or those of `slots` and waits for others."""
    slots: tuple[int, int] = (0, SLOTS - 1)
    """First and last slot of a cluster's node."""
    config: tuple[tuple[str, str], ...] = ()
    """Further settings, e.g. `(("maxmemory-policy", "allkeys-lru"),)`."""


class RedisServer(Server):
    """redis-server.  `new_database` gives each test a database of its own."""

    def __init__(self, options: RedisOptions | None = None) -> None:
        self.options = options or RedisOptions()
        self._numbers = itertools.count(1)
        self._cluster_port = free_port()
        super().__init__()

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot run here."""
        if find_program("redis-server") is None:
            return not_installed("redis-server", "apt-get install redis-server")
        return None

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:PORT`, without a database's number."""
        scheme = "rediss" if self.options.tls else "redis"
        password = f":{self.options.password}@" if self.options.password else ""
        return f"{scheme}://{password}127.0.0.1:{self.port}"

    @property
    def query(self) -> str:
        """What follows a URL's path: the paths of TLS files, in JuiceFS's words; or nothing."""
        if not self.options.tls:
            return ""
        return f"?tls-ca-cert-file={self.certificate}"

    @property
    def unix_url(self) -> str:
        """The same server by its socket, without a database's number."""
        return f"unix://{self.socket}"

    @property
    def socket(self) -> Path:
        """The server's socket."""
        return self.folder / "redis.sock"

    @property
    def certificate(self) -> Path:
        """With TLS: the server's certificate, which signs itself."""
        return self.folder / "server.crt"

    def new_database(self) -> str:
        """Return the URL of an empty database: the next number, or 0 of a cluster emptied."""
        number = 0 if self.options.cluster else next(self._numbers) % DATABASES
        with self.client(number) as client:
            client.flushdb()
        return f"{self.url}/{number}{self.query}"

    def drop_database(self, url: str) -> None:
        """Empty a database by its URL."""
        number = urlsplit(url).path.strip("/")
        with self.client(int(number or 0)) as client:
            client.flushdb()

    def client(self, database: int = 0) -> redis.Redis:
        """Return a plain client, for a look from outside."""
        return redis.Redis(
            unix_socket_path=str(self.socket),
            db=database,
            password=self.options.password or None,
            retry=Retry(NoBackoff(), 0),  # a look is what is there now
        )

    def cut(self, database: int) -> None:
        """Cut the connections to one database; others may belong to other tests."""
        with self.client(database) as outside:
            own = str(outside.client_id())
            for one in outside.client_list():
                if one["db"] == str(database) and one["id"] != own:
                    outside.client_kill_filter(_id=one["id"])

    def _prepare(self) -> None:
        options = self.options
        if options.tls:
            make_certificate(self.certificate, self.folder / "server.key")
        lines = [
            "bind 127.0.0.1",
            f"port {0 if options.tls else self.port}",
            f"unixsocket {self.socket}",
            f"dir {self.folder}",
            f"databases {1 if options.cluster else DATABASES}",
            'save ""',
            f"appendonly {'yes' if options.appendonly else 'no'}",
            f"appendfsync {options.appendfsync}",
        ]
        if options.password:
            lines.append(f"requirepass {options.password}")
        if options.cluster:
            lines += ["cluster-enabled yes", f"cluster-port {self._cluster_port}"]
        if options.tls:
            lines += [
                f"tls-port {self.port}",
                f"tls-cert-file {self.certificate}",
                f"tls-key-file {self.folder / 'server.key'}",
                f"tls-ca-cert-file {self.certificate}",
                "tls-auth-clients no",
            ]
        lines += [f"user {rule}" for rule in options.users]
        lines += [f"{name} {value}" for name, value in options.config]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")

    def _command(self) -> list[str]:
        return [find_program("redis-server") or "", str(self.folder / "redis.conf")]

    def _is_ready(self) -> bool:
        try:
            with self.client() as client:
                client.ping()
                return not self.options.cluster or self._has_slots(client)
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def _has_slots(self, client: redis.Redis) -> bool:
        """Give a cluster's node every slot; true once the cluster is up."""
        state = client.cluster("INFO")
        if state["cluster_slots_assigned"] == "0":
            client.cluster("ADDSLOTSRANGE", *self.options.slots)
        is_whole = self.options.slots == (0, SLOTS - 1)
        return bool(state["cluster_state"] == "ok") or not is_whole

    def meet(self, other: "RedisServer") -> None:
        """Make one cluster of two; it takes a moment until every node knows."""
        with self.client() as client:
            client.cluster("MEET", "127.0.0.1", other.port, other._cluster_port)

    def is_in_whole_cluster(self) -> bool:
        """True once this node knows who has which slot, all of them."""
        with self.client() as client:
            return bool(client.cluster("INFO")["cluster_state"] == "ok")


class RedisSentinel(Server):
    """A sentinel that watches `master`; the URL names the master by MASTER_NAME."""

    def __init__(self, master: RedisServer, password: str = "") -> None:
        self._master = master
        self._password = password
        super().__init__()

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot run here."""
        return RedisServer.missing()

    @property
    def url(self) -> str:
        """JuiceFS's spelling: `redis://MASTER,127.0.0.1:PORT`, without a database's number."""
        return f"redis://{MASTER_NAME},127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        (self.folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {MASTER_NAME} 127.0.0.1 {self._master.port} 1\n"
            f"sentinel down-after-milliseconds {MASTER_NAME} 500\n"
            f"sentinel failover-timeout {MASTER_NAME} 3000\n"
            + (f"requirepass {self._password}\n" if self._password else "")
        )

    def _command(self) -> list[str]:
        program = find_program("redis-server")
        if program is None:
            raise Unavailable("redis-server is not installed")
        return [program, str(self.folder / "sentinel.conf"), "--sentinel"]
