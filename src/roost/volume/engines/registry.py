"""The one place that knows which engine a metadata URL means.

A URL is spelled as JuiceFS spells it.  A scheme's module is imported when a URL of the scheme is
opened, so that a missing driver hurts nobody else.

redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]     a Redis server; a bare HOST means the same
redis://MASTER,SENTINEL,SENTINEL[:PORT]/DB     the Redis that Sentinels name (comma before colon)
redis://HOST:PORT,HOST:PORT/DB                 a Redis Cluster; DB is then a prefix of all keys
rediss://…                                     the same over TLS
unix://[USER[:PASSWORD]@]PATH[?db=DB]          a Redis server's socket
sqlite3://PATH                                 a file
mysql://USER[:PASSWORD]@(HOST:PORT)/DB         MySQL or MariaDB, with or without the parentheses
mysql://USER[:PASSWORD]@unix(PATH)/DB          the same by the server's socket
postgres://USER[:PASSWORD]@HOST[:PORT]/DB      PostgreSQL; postgresql:// too
postgres://USER[:PASSWORD]@/DB?host=FOLDER     the same by the socket in this folder
memory://NAME                                  in this process, for tests

A password that is not in the URL is taken from the environment: META_PASSWORD, or the file that
META_PASSWORD_FILE names.  In a URL user and password are percent-encoded: "?" must be (but for
mysql), "%" too where two hexadecimal digits follow; in the environment they stand as they are.
Source: JuiceFS Community 1.4, documentation of metadata engines; pkg/meta/redis.go, interface.go.
"""

import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import parse_qsl, unquote

from roost.clock import Clock
from roost.errors import InvalidArgument, Unsupported
from roost.volume.meta.txn import Engine

PASSWORD_VARIABLE = "META_PASSWORD"
PASSWORD_FILE_VARIABLE = "META_PASSWORD_FILE"
_REDIS_PASSWORD_VARIABLE = "REDIS_PASSWORD"  # looked at first, as JuiceFS does
_HINT = (
    "Use redis://HOST:6379/1, sqlite3://PATH, mysql://USER@(HOST:3306)/DB"
    " or postgres://USER@HOST:5432/DB."
)
_REDIS = ("redis", "rediss", "unix")
_SQL = ("mysql", "postgres")
_OPTIONS_IN_LOGIN = re.compile(r"\)/[^/?]*\?|/[^?]*\?.*=")
_ALIASES = {"postgresql": "postgres"}
_MODULES: Mapping[str, str] = {
    "memory": "roost.volume.engines.memory_opening",
    "sqlite3": "roost.volume.engines.sqlite_opening",
    "redis": "roost.volume.engines.redis.opening",
    "rediss": "roost.volume.engines.redis.opening",
    "unix": "roost.volume.engines.redis.opening",
    "mysql": "roost.volume.engines.sql_servers.opening",
    "postgres": "roost.volume.engines.sql_servers.opening",
}


@dataclass(frozen=True, slots=True)
class MetaUrl:
    """A metadata URL, taken apart."""

    scheme: str  # redis, rediss, unix, sqlite3, mysql, postgres, memory
    path: str = ""  # of a file, a socket or its folder, or a name in memory
    user: str = ""
    password: str = field(default="", repr=False)
    hosts: tuple[str, ...] = ()  # HOST or HOST:PORT as written; [::1]:PORT for IPv6
    database: str = ""
    options: tuple[tuple[str, str], ...] = ()  # what stands behind `?`

    def option(self, name: str, default: str = "") -> str:
        """Return an option's value."""
        return dict(self.options).get(name, default)

    @property
    def display(self) -> str:
        """The URL without its password and options, for messages and logs."""
        login = f"{self.user}{':****' if self.password else ''}"
        login = f"{login}@" if login else ""
        if self.hosts:
            database = f"/{self.database}" if self.database else ""
            return f"{self.scheme}://{login}{','.join(self.hosts)}{database}"
        if self.scheme in _SQL:
            return f"{self.scheme}://{login}unix({self.path})/{self.database}"
        return f"{self.scheme}://{login}{self.path}"


class EngineKind(Protocol):
    """What the module of a scheme offers."""

    def create_engine(self, url: MetaUrl, clock: Clock) -> Engine:
        """Return a writable engine on a place that may be new; tables are made where it needs any.

        Whether there is a volume already is for the caller to look at; one that is there is not
        changed.  Raises InvalidArgument, Unavailable, AlreadyFormatted.
        """
        ...

    def undoing(self, url: MetaUrl) -> Callable[[], None]:
        """Return what removes the file that `create_engine` is about to make, if it makes one.

        It does so only while the file holds nothing and nobody has it open.
        """
        ...

    def open_engine(self, url: MetaUrl, clock: Clock, *, read_only: bool) -> Engine:
        """Return an engine on a place that must exist.

        Raises NotFormatted if there is no such file or no table; InvalidArgument; Unavailable.
        """
        ...


def engine_kind(url: MetaUrl) -> EngineKind:
    """Return how engines of this scheme are opened.  Raises Unsupported: a missing driver."""
    try:
        return cast("EngineKind", importlib.import_module(_MODULES[url.scheme]))
    except ModuleNotFoundError as error:
        raise Unsupported(
            f"{url.scheme}:// needs the Python package {error.name}",
            hint="Install Roost with all its dependencies.",
        ) from error


@contextmanager
def new_engine(url: MetaUrl, clock: Clock) -> Iterator[Engine]:
    """Give a writable engine on a place that may be new, and close it.

    If the block fails and leaves no record, a file that was made for it is removed.
    Raises what EngineKind.create_engine does.
    """
    kind = engine_kind(url)
    undo = kind.undoing(url)
    try:
        engine = kind.create_engine(url, clock)
        try:
            yield engine
        finally:
            engine.close()
    except BaseException:
        undo()
        raise


def parse_url(text: str, environment: Mapping[str, str] | None = None) -> MetaUrl:
    """Return the parts of a metadata URL, with the password of the environment if it has none.

    Raises InvalidArgument: another scheme, an empty place, a password file that cannot be read.
    """
    known = os.environ if environment is None else environment
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "redis", text
    scheme = _ALIASES.get(scheme, scheme)
    if scheme not in _MODULES or not rest:
        raise _not_a_url(text if "@" not in text else scheme)
    place, query = _split_query(scheme, rest)
    options = tuple(parse_qsl(query, keep_blank_values=True))
    if scheme in ("memory", "sqlite3"):
        if not place:
            raise _not_a_url(text)
        return MetaUrl(scheme, path=place, options=options)
    user, password, place = _split_login(place)
    password = password or _password_of(scheme, known)
    if scheme == "unix":
        if not place.startswith("/"):
            raise _not_a_url(f"unix://{place}")
        database = dict(options).get("db", "0")
        return MetaUrl(scheme, place, user, password, database=database, options=options)
    path, place = _split_socket(scheme, place, dict(options).get("host", ""))
    hosts, _, database = place.partition("/")
    if scheme in _SQL and any(sign in database for sign in "?&="):
        raise InvalidArgument(
            f"{scheme}://…: options stand in the name of the database",
            hint='Write options behind one "?", as in /DB?NAME=VALUE&NAME=VALUE.',
        )
    if path and database:
        return MetaUrl(scheme, path, user, password, database=database, options=options)
    if scheme == "mysql":
        hosts = _without_parentheses(hosts)
    if not hosts or (not database and scheme not in _REDIS):
        raise _not_a_url(f"{scheme}://{place}")
    return MetaUrl(scheme, "", user, password, tuple(hosts.split(",")), database, options)


def _split_query(scheme: str, rest: str) -> tuple[str, str]:
    """Return what stands before the "?" of the options, and the options.

    Raises InvalidArgument if a password and options cannot be told apart: then the host would be
    part of the one, or the options be lost.
    """
    if scheme in ("memory", "sqlite3"):
        place, _, query = rest.partition("?")
        return place, query
    if scheme == "mysql":  # as its driver in Go: the login ends at the last "@"
        login, at, address = rest.rpartition("@")
        if _OPTIONS_IN_LOGIN.search(login):
            raise _not_clear(scheme)
        place, _, query = address.partition("?")
        return login + at + place, query
    place, _, query = rest.partition("?")
    before, at, behind = query.rpartition("@")
    has_place = "/" in place.rpartition("@")[2] and "@" in place
    if at and (not has_place or "=" not in before.partition("@")[0] or "/" in behind):
        raise _not_clear(scheme)
    return place, query


def _not_clear(scheme: str) -> InvalidArgument:
    return InvalidArgument(
        f'{scheme}://…: the "?" before the "@" could be part of a password or begin options',
        hint=f'Write "%3F" for "?" in a password, or put it into {PASSWORD_VARIABLE}; write'
        ' "%40" for "@" in an option.',
    )


def _split_login(place: str) -> tuple[str, str, str]:
    """Return user, password and the rest; a password may hold any character, also `@`."""
    login, found, rest = place.rpartition("@")
    if not found:
        return "", "", place
    user, _, password = login.partition(":")
    return unquote(user), unquote(password), rest


def _split_socket(scheme: str, place: str, host: str) -> tuple[str, str]:
    """Return the path of a socket, "" if none is named, and the place without it: "/DB"."""
    if scheme == "mysql" and place.startswith("unix("):
        path, closed, rest = place.removeprefix("unix(").rpartition(")")
        if not closed or not path.startswith("/"):
            raise _not_a_url(f"mysql://{place}")
        return path, rest
    if scheme == "postgres" and place.startswith("/") and host.startswith("/"):
        return host, place
    return "", place


def _password_of(scheme: str, environment: Mapping[str, str]) -> str:
    own = environment.get(_REDIS_PASSWORD_VARIABLE, "") if scheme in _REDIS else ""
    given = own or environment.get(PASSWORD_VARIABLE, "")
    file = environment.get(PASSWORD_FILE_VARIABLE, "")
    if given or not file:
        return given
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(
            f"cannot read the password file: {error}", hint=f"See {PASSWORD_FILE_VARIABLE}."
        ) from error


def _without_parentheses(hosts: str) -> str:
    """Return HOST:PORT of the Go driver's spellings `(HOST:PORT)` and `tcp(HOST:PORT)`."""
    protocol, found, address = hosts.partition("(")
    if not found:
        return hosts
    if protocol not in ("", "tcp") or not address.endswith(")"):
        raise _not_a_url(f"mysql://{hosts}")
    return address[:-1]


def _not_a_url(text: str) -> InvalidArgument:
    return InvalidArgument(f"not a metadata URL: {text!r}", hint=_HINT)
