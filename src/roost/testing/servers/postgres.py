"""PostgreSQL: one server with a user that may do everything.  It refuses to run as root."""

import itertools
import os
import pwd
import shutil
import signal
from pathlib import Path

import psycopg

from roost.testing.servers.available import find_program, not_installed
from roost.testing.servers.process import Server, run_quietly

USER = "roost"
UNPRIVILEGED = ("postgres", "nobody")
"""Whom the server runs as when root starts it: the first that exists."""


class PostgresServer(Server):
    """postgres.  `new_database` gives each test a database of its own."""

    stop_signal = signal.SIGINT  # "fast": open connections are cut

    def __init__(self, *, flush: bool = False) -> None:
        """Start it; with `flush` every commit reaches the disk, without it only the system."""
        self.flush = flush
        self._numbers = itertools.count(1)
        super().__init__()

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot run here."""
        if _program("initdb") is None or _program("postgres") is None:
            return not_installed("postgresql", "apt-get install postgresql")
        if os.geteuid() == 0 and shutil.which("setpriv") is None:
            return "setpriv is not installed: postgres does not run as root (util-linux)"
        return None

    @property
    def url(self) -> str:
        """`postgres://USER@127.0.0.1:PORT`, without a database's name."""
        return f"postgres://{USER}@127.0.0.1:{self.port}"

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that decide what a commit survives, for a bench to print."""
        return (f"fsync={'on' if self.flush else 'off'}", "synchronous_commit=on")

    def new_database(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"roost{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"{self.url}/{name}?sslmode=disable"

    def drop_database(self, url: str) -> None:
        """Drop a database by its URL, cutting its connections."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the administrator and return its rows."""
        with self.connection(database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def connection(self, database: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        """Return a connection of the administrator, for a look from outside."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user=USER, dbname=database, autocommit=True
        )

    def _prepare(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, _unprivileged())
        run_quietly(
            [
                *_as_unprivileged(),
                _program("initdb") or "",
                f"--pgdata={self.folder / 'data'}",
                f"--username={USER}",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
            ],
            self.folder,
        )

    def _command(self) -> list[str]:
        settings = (
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.folder}",
            "max_connections=200",
            f"fsync={'on' if self.flush else 'off'}",
        )
        options = [word for setting in settings for word in ("-c", setting)]
        data = str(self.folder / "data")
        program = _program("postgres") or ""
        return [*_as_unprivileged(), program, "-D", data, "-p", str(self.port), *options]

    def _is_ready(self) -> bool:
        try:
            self.connection().close()
        except psycopg.OperationalError:
            return False
        return True


def _program(name: str) -> str | None:
    """Find a program; Debian keeps them in a folder per version, of which the newest is taken."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    newest = sorted(versions, key=lambda folder: folder.parent.name, reverse=True)
    return find_program(name, *newest)


def _unprivileged() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in known)


def _as_unprivileged() -> list[str]:
    if os.geteuid() != 0:
        return []
    entry = pwd.getpwnam(_unprivileged())
    return [
        shutil.which("setpriv") or "setpriv",
        f"--reuid={entry.pw_uid}",
        f"--regid={entry.pw_gid}",
        "--clear-groups",
        "--",
    ]
