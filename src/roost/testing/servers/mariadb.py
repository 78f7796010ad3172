"""MariaDB: one server with a user that may do everything."""

import itertools
import os
from pathlib import Path

import pymysql

from roost.testing.servers.available import find_program, not_installed
from roost.testing.servers.process import Server, run_quietly

USER = "roost"
PASSWORD = "roost"


class MariadbServer(Server):
    """mariadbd.  `new_database` gives each test a database of its own."""

    def __init__(self, *, flush: bool = False) -> None:
        """Start it; with `flush` every commit reaches the disk, without it only the system."""
        self.flush = flush
        self._numbers = itertools.count(1)
        super().__init__()
        with self.connection() as connection:
            cursor = connection.cursor()
            cursor.execute(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION")

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot run here."""
        if find_program("mariadbd") is None or find_program("mariadb-install-db") is None:
            return not_installed("mariadb-server", "apt-get install mariadb-server")
        return None

    @property
    def url(self) -> str:
        """JuiceFS's spelling, without a database's name: `mysql://USER:PASSWORD@(HOST:PORT)`."""
        return f"mysql://{USER}:{PASSWORD}@(127.0.0.1:{self.port})"

    @property
    def unix_url(self) -> str:
        """The same server by its socket."""
        return f"mysql://{USER}:{PASSWORD}@unix({self.socket})"

    @property
    def socket(self) -> Path:
        """The server's socket."""
        return self.folder / "mariadb.sock"

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that decide what a commit survives, for a bench to print."""
        number = 1 if self.flush else 2
        return (f"innodb_flush_log_at_trx_commit={number}", "sync_binlog=0", "skip-log-bin")

    def new_database(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"roost{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"{self.url}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop a database by its URL."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]}")

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as the administrator and return its rows."""
        with self.connection() as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall())

    def connection(self) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """Return a connection of the administrator, for a look from outside."""
        return pymysql.connect(unix_socket=str(self.socket), user="root", autocommit=True)

    def _prepare(self) -> None:
        installer = find_program("mariadb-install-db") or ""
        run_quietly(
            [
                installer,
                "--no-defaults",
                f"--datadir={self.folder / 'data'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--innodb-log-file-size=16M",
                *self._as_user(),
            ],
            self.folder,
        )

    def _command(self) -> list[str]:
        return [
            find_program("mariadbd") or "",
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'mariadb.pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--max-connections=500",
            "--innodb-buffer-pool-size=128M",
            "--innodb-fast-shutdown=2",
            f"--innodb-flush-log-at-trx-commit={1 if self.flush else 2}",
            *self._as_user(),
        ]

    def _as_user(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    def _is_ready(self) -> bool:
        try:
            self.connection().close()
        except pymysql.MySQLError:
            return False
        return True
