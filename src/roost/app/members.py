"""One member of a cluster in this process, from settings to a served port, until told to end."""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

from roost.app.data_directory import DataDirectory, prepare
from roost.app.database import Database
from roost.app.engine_numbers import engine_settings
from roost.app.volume import EngineVolume
from roost.clock import SystemClock
from roost.cluster.assembly import MemberSettings, ReaderMember, RouterMember, WriterMember
from roost.config.settings import ANY_ADDRESS, LOOPBACK, Settings, in_address
from roost.errors import InvalidArgument, TimedOut
from roost.telemetry import metrics
from roost.vector.api import VectorService

log = logging.getLogger(__name__)

ROLES = ("rw", "ro", "router", "standalone")
ALL_REPLICAS = 1 << 16
READY_WAIT_S = 120.0
LOOK_S = 0.1

OnReady = Callable[[str], None]
"""Told the address of the Milvus port once it serves; empty if none is open."""


def run(role: str, settings: Settings, on_ready: OnReady, *, shared_port: bool = False) -> None:
    """Run that member until SIGTERM or SIGINT; a writer also until it loses its lease.

    Raises InvalidArgument for an unknown role, Unavailable (port in use, another writer), Damage.
    """
    if role not in ROLES:
        raise InvalidArgument(f"unknown role {role!r}", hint=f"Use one of: {', '.join(ROLES)}.")
    sys.meta_path.insert(0, _WithoutPandas())
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if settings.metrics_port:
        metrics.serve(settings.host, settings.metrics_port)
    with ExitStack() as stack:
        service = stack.enter_context(_SERVICES[role](settings, ended))
        address = ""
        if service is not None and not (role == "rw" and settings.port == 0):
            # A writer without a port starts again sooner without Milvus's stubs.
            from roost.serve.milvus.service import serve

            host = in_address(settings.host)
            server = serve(service, host, settings.port, reuse_port=shared_port)
            stack.callback(server.stop)
            address = server.address
        if not ended.is_set():
            on_ready(address)
        ended.wait()


class _WithoutPandas(MetaPathFinder):
    """Keeps pyarrow from importing pandas at the first conversion, in a process that is all ours.

    Clients bring pandas along; loading it costs a second of the first search, and memory.
    """

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Refuse pandas and leave everything else to the others."""
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not wanted in this process", name=fullname)
        return None


@contextmanager
def _writer(settings: Settings, ended: threading.Event) -> Iterator[VectorService | None]:
    directory = prepare(settings)
    volume = EngineVolume(directory)
    member = WriterMember(
        _member_settings(settings, directory),
        volume.files,
        engine_settings(settings),
        on_lost=lambda _: ended.set(),
        lock_folder=directory.locks,
    )
    waiting = threading.Thread(target=_stop_when, args=(ended, member), name="stop", daemon=True)
    waiting.start()
    try:
        yield member.service if member.start(standby=True) else None
    finally:
        ended.set()
        waiting.join()
        volume.close()


def _stop_when(ended: threading.Event, member: WriterMember) -> None:
    ended.wait()  # also while it stands by, in `start`
    member.stop()


@contextmanager
def _reader(settings: Settings, ended: threading.Event) -> Iterator[VectorService | None]:
    directory = prepare(settings)
    volume = EngineVolume(directory, read_only=True)
    member = ReaderMember(_member_settings(settings, directory), volume.files)
    member.start()
    try:
        yield member.service if _caught_up(member, ended) else None
    finally:
        member.stop()
        volume.close()


def _caught_up(member: ReaderMember, ended: threading.Event) -> bool:
    """Wait until a reader can answer; False if it is told to end before.  Raises TimedOut."""
    clock = SystemClock()
    give_up_s = clock.monotonic_s() + READY_WAIT_S
    while not member.wait_ready(LOOK_S):
        if ended.is_set():
            return False
        if clock.monotonic_s() >= give_up_s:
            raise TimedOut(f"the reader has not caught up with the log in {READY_WAIT_S:.0f} s")
    return True


@contextmanager
def _router(settings: Settings, ended: threading.Event) -> Iterator[VectorService | None]:
    member = RouterMember(_member_settings(settings, prepare(settings)))
    member.start()
    try:
        yield member.service
    finally:
        member.stop()


@contextmanager
def _standalone(settings: Settings, ended: threading.Event) -> Iterator[VectorService | None]:
    with Database(settings, on_lost=lambda _: ended.set()) as database:
        yield database.engine


_SERVICES = {"rw": _writer, "ro": _reader, "router": _router, "standalone": _standalone}


def _member_settings(settings: Settings, directory: DataDirectory) -> MemberSettings:
    advertised = in_address(settings.member_host)
    everywhere = settings.host in ANY_ADDRESS
    # A name that others know may be none of this host's own addresses (containers, NAT).
    wide = everywhere and settings.member_host not in LOOPBACK
    for_clients = advertised if everywhere else in_address(settings.host)
    return MemberSettings(
        catalog_url=directory.catalog_url,
        address=f"{in_address(settings.host) if wide else advertised}:0",
        advertised_host=advertised,
        client_address=f"{for_clients}:{settings.port}" if settings.port else "",
        replicas=settings.replicas or ALL_REPLICAS,
        search_threads=engine_settings(settings).search_threads,
    )
