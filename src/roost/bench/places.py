"""Where a bench keeps metadata: a setting's server, started once, at the distance it asks for."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from roost.bench.proxy import DelayingProxy, Traffic
from roost.errors import InvalidArgument
from roost.testing.servers import MariadbServer, PostgresServer, RedisServer

DISTANT_RTT_MS = 0.5
SQLITE_FLUSH = "?_sync=FULL"
"""Makes juicefs sync each commit, as Roost does; its own default syncs none in WAL mode."""


@dataclass(frozen=True, slots=True)
class Setting:
    """An engine and how far away it is."""

    name: str
    engine: str
    rtt_ms: float = 0.0


SETTINGS = (
    Setting("redis rtt=0", "redis"),
    Setting("redis rtt=0.5", "redis", DISTANT_RTT_MS),
    Setting("sqlite", "sqlite"),
    Setting("mariadb", "mariadb"),
    Setting("mariadb rtt=0.5", "mariadb", DISTANT_RTT_MS),
    Setting("postgres", "postgres"),
    Setting("postgres rtt=0.5", "postgres", DISTANT_RTT_MS),
)
SqlOrRedis = RedisServer | MariadbServer | PostgresServer
_SERVERS: dict[str, type[RedisServer] | type[MariadbServer] | type[PostgresServer]] = {
    "redis": RedisServer,
    "mariadb": MariadbServer,
    "postgres": PostgresServer,
}


def chosen(names: tuple[str, ...]) -> tuple[Setting, ...]:
    """Return the settings with these names or engines; all for none.

    Raises InvalidArgument for a name that is none.
    """
    if not names:
        return SETTINGS
    known = {one.name for one in SETTINGS} | {one.engine for one in SETTINGS}
    for name in names:
        if name not in known:
            hint = "Known: " + ", ".join(one.name for one in SETTINGS) + "."
            raise InvalidArgument(f"unknown setting {name!r}", hint=hint)
    return tuple(one for one in SETTINGS if one.name in names or one.engine in names)


def missing(setting: Setting) -> str | None:
    """Return why the setting cannot be had here; None if it can."""
    server = _SERVERS.get(setting.engine)
    return None if server is None else server.missing()


@dataclass(frozen=True, slots=True)
class Place:
    """An empty database, as each side names it, with the proxy before its server if it is far."""

    roost_url: str
    juicefs_url: str
    proxy: DelayingProxy | None
    engine: str

    def traffic(self) -> Traffic | None:
        """Return what went to the server so far; None without a proxy."""
        return None if self.proxy is None else self.proxy.traffic()


class Places:
    """The servers of a bench.  Each starts when it is first asked for, and stops at the end."""

    def __init__(self, folder: Path, *, flush: bool = True) -> None:
        """With `flush`, SQL servers and SQLite sync each commit to the disk, for both sides."""
        self._folder = folder
        self._flush = flush
        self._servers: dict[str, SqlOrRedis] = {}
        self._proxies: dict[str, DelayingProxy] = {}
        self._files = 0
        self._stack = ExitStack()

    def new(self, setting: Setting) -> Place:
        """Return an empty database in the setting."""
        if setting.engine == "sqlite":
            self._files += 1
            url = f"sqlite3://{self._folder}/meta-{self._files}.db"
            return Place(url, url + SQLITE_FLUSH, None, setting.engine)
        server = self._server(setting.engine)
        url = server.new_database()
        proxy = self._proxy(setting, server.port) if setting.rtt_ms else None
        if proxy is not None:
            url = proxy.url(url)
        return Place(url, url, proxy, setting.engine)

    def drop(self, place: Place) -> None:
        """Remove a database that nobody uses any more."""
        if place.engine == "sqlite":
            path = Path(place.roost_url.partition("://")[2])
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()
            return
        server = self._server(place.engine)
        server.drop_database(place.roost_url)

    def describe(self, setting: Setting) -> str:
        """Return what a commit of the engine survives here, the same for both sides."""
        if setting.engine == "sqlite":
            return "sqlite: journal_mode=WAL, synchronous=FULL on both sides"
        server = self._server(setting.engine)
        if isinstance(server, RedisServer):
            options = server.options
            aof = f"appendonly={'yes' if options.appendonly else 'no'}"
            return f"redis: {aof}, appendfsync={options.appendfsync}, one server for both sides"
        words = ", ".join(server.settings)
        return f"{setting.engine}: {words}, one server for both sides"

    def _server(self, engine: str) -> SqlOrRedis:
        found = self._servers.get(engine)
        if found is None:
            found = self._start(engine)
            self._stack.callback(found.stop)
            self._servers[engine] = found
        return found

    def _start(self, engine: str) -> SqlOrRedis:
        kind = _SERVERS[engine]
        return kind() if issubclass(kind, RedisServer) else kind(flush=self._flush)

    def _proxy(self, setting: Setting, port: int) -> DelayingProxy:
        if setting.name not in self._proxies:
            made = DelayingProxy(port, rtt_ms=setting.rtt_ms)
            self._proxies[setting.name] = self._stack.enter_context(made)
        return self._proxies[setting.name]

    def __enter__(self) -> "Places":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
