"""Databases of MySQL and PostgreSQL by URL: making a volume's tables, opening what has them."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from psycopg.conninfo import make_conninfo

from roost.clock import Clock
from roost.errors import InvalidArgument
from roost.volume.engines.registry import MetaUrl
from roost.volume.engines.sql.dialect import PREFIX, mysql, postgres
from roost.volume.engines.sql.tables import create_statements
from roost.volume.engines.sql_servers.driver import Connection, Server, SqlError
from roost.volume.engines.sql_servers.engine import ServerEngine
from roost.volume.engines.sql_servers.failures import failure
from roost.volume.engines.sql_servers.mysql import PORT as MYSQL_PORT
from roost.volume.engines.sql_servers.mysql import TLS_MODES, MysqlServer
from roost.volume.engines.sql_servers.postgres import PORT as POSTGRES_PORT
from roost.volume.engines.sql_servers.postgres import PostgresServer
from roost.volume.errors import AlreadyFormatted, NotFormatted
from roost.volume.meta.txn import Engine

PREFIX_OPTION = "table_prefix"
_POSTGRES_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "application_name")


def create_engine(url: MetaUrl, clock: Clock) -> Engine:
    """As in EngineKind."""
    server = server_of(url)
    with _connection(server) as connection:
        if not _has_tables(server, connection):
            for text in create_statements(server.dialect):
                connection.run([(text, ())])
        elif connection.run([("SELECT 1 FROM jfs_setting", ())])[0]:
            raise AlreadyFormatted(f"there is a volume already at {url.display}")
    return ServerEngine(server, clock, read_only=False)


def undoing(url: MetaUrl) -> Callable[[], None]:
    """As in EngineKind; no file is made."""
    return lambda: None


def open_engine(url: MetaUrl, clock: Clock, *, read_only: bool) -> Engine:
    """As in EngineKind."""
    server = server_of(url)
    with _connection(server) as connection:
        if not _has_tables(server, connection):
            raise NotFormatted(f"no volume at {url.display}: the database has no such tables")
    return ServerEngine(server, clock, read_only=read_only)


def server_of(url: MetaUrl) -> Server:
    """Return the server that a URL names.  Raises InvalidArgument; Unavailable."""
    if not url.path and len(url.hosts) != 1:
        raise InvalidArgument(f"one host is wanted: {url.display}")
    if url.scheme == "mysql":
        return _mysql(url)
    return _postgres(url)


def _tls_mode(url: MetaUrl) -> str:
    """Return the option of JuiceFS's driver.  Raises InvalidArgument: a name it would not know."""
    given = url.option("tls", "false").lower()
    mode = {"1": "true", "0": "false"}.get(given, given)
    if mode not in TLS_MODES:
        raise InvalidArgument(
            f"{url.display}: tls={given!r} is not known", hint=f"Use one of {', '.join(TLS_MODES)}."
        )
    return mode


def _mysql(url: MetaUrl) -> Server:
    host, port = _host_and_port(url, MYSQL_PORT)
    server = MysqlServer(
        host,
        port,
        url.user,
        url.password,
        url.database,
        mysql(_prefix(url)),
        tls=_tls_mode(url),
        socket=url.path,
    )
    with _connection(server) as connection:
        ((has_log, form),) = connection.run([("SELECT @@log_bin, @@binlog_format", ())])[0]
    return replace(server, repeatable=bool(has_log) and form == "STATEMENT")


def _postgres(url: MetaUrl) -> Server:
    host, port = _host_and_port(url, POSTGRES_PORT)
    words = {name: url.option(name) for name in _POSTGRES_OPTIONS if url.option(name)}
    search_path = url.option("search_path")
    address = make_conninfo(
        "",
        host=host,
        port=port,
        user=url.user or None,
        password=url.password or None,
        dbname=url.database,
        **words,
    )
    return PostgresServer(address, url.display, postgres(_prefix(url)), search_path)


def _host_and_port(url: MetaUrl, port: int) -> tuple[str, int]:
    """Return them; of a socket its path, and the port is part of its name in PostgreSQL."""
    if url.path:
        host, found, number = url.path, "port", url.option("port", str(port))
    else:
        host, found, number = url.hosts[0].rpartition(":")
    if not found or (url.hosts and url.hosts[0].endswith("]")):
        return url.hosts[0].strip("[]"), port
    if not number.isdecimal():
        raise InvalidArgument(f"not a port: {number!r}")
    return host.strip("[]"), int(number)


def _prefix(url: MetaUrl) -> str:
    """Return how the names of all tables begin; JuiceFS's option goes behind its own prefix."""
    chosen = url.option(PREFIX_OPTION)
    if not chosen:
        return PREFIX
    # PostgreSQL takes names that are not quoted for lower case.
    allowed = r"[a-z0-9_]{1,30}" if url.scheme == "postgres" else r"[A-Za-z0-9_]{1,30}"
    if not re.fullmatch(allowed, chosen):
        raise InvalidArgument(f"not a table prefix: {chosen!r}")
    return f"{PREFIX}{chosen}_"


def _has_tables(server: Server, connection: Connection) -> bool:
    return bool(connection.run([server.has_table(server.dialect.spell("jfs_setting"))])[0])


@contextmanager
def _connection(server: Server) -> Iterator[Connection]:
    try:
        connection = server.connect()
        try:
            yield connection
        finally:
            connection.close()
    except SqlError as error:
        raise failure(error, server.place) from error
