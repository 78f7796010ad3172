"""`roost up`: the embedded cluster as child processes, restarted when they die.

One writer and some readers on loopback; every reader carries the router and all of them share the
public port (hazard H19).  Invariant: exactly one supervisor holds a data directory's lock.
"""

import contextlib
import logging
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

from roost.app.data_directory import DataDirectory, FolderLock, prepare
from roost.app.engine_numbers import engine_settings
from roost.app.processes import Child
from roost.config.settings import ANY_ADDRESS, Settings, in_address
from roost.errors import InvalidArgument, RoostError, Unavailable

log = logging.getLogger(__name__)

READY_WAIT_S = 120.0
"""A writer may have a long log to replay."""
WATCH_INTERVAL_S = 0.1
RESTART_DELAY_S_MIN = 0.1
RESTART_DELAY_S_MAX = 5.0
STEADY_S = 10.0
"""A child that ran this long starts again without delay."""


@dataclass(slots=True)
class _Place:
    """One child's place: who it is and how often it fell lately."""

    name: str
    arguments: list[str]
    child: Child | None = None
    delay_s: float = 0.0
    age_s: float = 0.0


class Supervisor:
    """Starts, watches and stops the members of an embedded cluster."""

    def __init__(self, settings: Settings, config_file: Path | None = None) -> None:
        """Take the data directory and the port; nothing is started yet.

        Raises InvalidArgument for settings that cannot be, Unavailable for what is in use.
        """
        if settings.readers < 1:
            raise InvalidArgument("a cluster needs a reader", hint="Set readers to 1 or more.")
        engine_settings(settings)  # here, not in a log file of a member that does not start
        self._settings = settings
        self._config_file = config_file
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # guards places' children between watcher and stop()
        self.directory: DataDirectory = prepare(settings)
        self._folder_lock = FolderLock.take(
            self.directory.locks / "up.lock", f"the data directory {self.directory.root}"
        )
        try:
            self._reservation, self.port = _reserve(settings.host, settings.port)
        except BaseException:
            self._folder_lock.release()
            raise
        self._places = [_Place("writer", self._arguments("rw", 0, 0))]
        self._places += [
            _Place(f"reader-{number}", self._arguments("ro", self.port, number))
            for number in range(1, settings.readers + 1)
        ]
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    @property
    def uri(self) -> str:
        """Where a Milvus client connects."""
        host = self._settings.host
        reached = "127.0.0.1" if host in ANY_ADDRESS else in_address(host)
        return f"http://{reached}:{self.port}"

    def start(self) -> None:
        """Start all members and wait until they serve.  Raises Unavailable, TimedOut."""
        try:
            writer, *readers = self._places
            self._launch(writer).wait_ready(READY_WAIT_S)
            for place in readers:
                self._launch(place)
            for place in readers:
                assert place.child is not None
                place.child.wait_ready(READY_WAIT_S)
        except BaseException:
            self.stop()
            raise
        self._watcher.start()

    def pids(self) -> dict[str, int]:
        """The process id of every member that runs now."""
        with self._lock:
            return {p.name: p.child.pid for p in self._places if p.child is not None}

    def stop(self) -> None:
        """Stop readers, then the writer, and give the data directory back."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()  # so that it starts nothing after we looked
        with self._lock:
            places = list(reversed(self._places))
        for place in places:
            if place.child is not None:
                place.child.stop()
                place.child = None
        self._reservation.close()
        self._folder_lock.release()

    def _arguments(self, role: str, port: int, number: int) -> list[str]:
        settings = self._settings
        arguments = ["serve", "--role", role, "--data", str(self.directory.root)]
        arguments += ["--host", settings.host, "--port", str(port)]
        arguments += ["--shared-port"] if role == "ro" else []
        if settings.metrics_port:
            arguments += ["--metrics-port", str(settings.metrics_port + number)]
        if self._config_file is not None:
            arguments += ["--config", str(self._config_file.absolute())]
        return arguments

    def _launch(self, place: _Place) -> Child:
        child = Child(place.name, place.arguments, self.directory.logs / f"{place.name}.log")
        with self._lock:
            place.child, place.age_s = child, 0.0
        return child

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_INTERVAL_S):
            for place in self._places:
                self._look_after(place)

    def _look_after(self, place: _Place) -> None:
        child = place.child
        if child is None or child.exit_code() is None:
            place.age_s += WATCH_INTERVAL_S
            return
        delay_s = 0.0 if place.age_s > STEADY_S else place.delay_s
        log.warning("%s ended with exit code %s, starting it again", place.name, child.exit_code())
        child.forget()
        if self._stopping.wait(delay_s):
            return
        place.delay_s = min(max(delay_s * 2, RESTART_DELAY_S_MIN), RESTART_DELAY_S_MAX)
        try:
            self._launch(place)
        except (RoostError, OSError) as error:
            log.error("%s does not start: %s", place.name, error)


def _reserve(host: str, port: int) -> tuple[socket.socket, int]:
    """Take the public port without listening: nobody else may, but our readers (SO_REUSEPORT)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            port = probe.getsockname()[1]
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
    except OverflowError:
        raise InvalidArgument(f"{port} is not a port", hint="Choose 0 to 65535.") from None
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="Choose another one with --port (0 takes a free one), or stop what uses it.",
        ) from error
    return held, port
