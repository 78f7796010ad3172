"""The members of a cluster, put together from their parts: writer, reader, router.

Each is started and stopped as a whole, listens on its own inner port and is on the list of members
while it runs.  The port where clients speak Milvus is not opened here: `service` is what to serve
there.
"""

import logging
import os
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from roost.clock import Clock, SystemClock
from roost.cluster.follow import Follower
from roost.cluster.kept import KeptPayloads
from roost.cluster.members import (
    ROLE_READER,
    ROLE_ROUTER,
    ROLE_WRITER,
    CatalogDirectory,
    Directory,
    Heartbeat,
)
from roost.cluster.reader import Reader
from roost.cluster.router import Router, RouterSettings
from roost.cluster.rpc.methods import ALIAS_METHODS, READER_METHODS, TIP, WRITER_METHODS
from roost.cluster.rpc.server import RpcServer
from roost.cluster.stream import LogStream
from roost.errors import Unavailable
from roost.vector.api import VectorService
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.values import Member
from roost.vector.engine.engine import Engine, open_engine
from roost.vector.engine.settings import EngineSettings
from roost.vector.files import Files

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """What every member needs to know."""

    catalog_url: str
    address: str = "127.0.0.1:0"
    """host:port of the inner protocol; port 0 takes a free one."""
    member_id: str = ""
    """A reader's that keeps its name over restarts keeps its segments; empty: a new one."""
    advertised_host: str = ""
    """How other members reach this one, if not by the host of `address` (0.0.0.0)."""
    client_address: str = ""
    """Where it speaks Milvus, for the list of members."""
    replicas: int = 1
    """Readers that keep a segment open; the same number in all members of a cluster."""
    search_threads: int = 0
    """Threads that search segments side by side; 0: one for each processor."""

    def reached_at(self, bound: str) -> str:
        """Return the address for the list of members of a server bound to `bound`."""
        host, _, port = bound.rpartition(":")
        return f"{self.advertised_host or host}:{port}"

    def named(self, role: str) -> str:
        """Return the id of a member of that role.  A writer's is new in every process (H1)."""
        if self.member_id and role != ROLE_WRITER:
            return self.member_id
        return f"{self.member_id or role}-{uuid.uuid4().hex[:12]}"


class WriterMember:
    """The writer, or a standby that waits to become it."""

    def __init__(
        self,
        settings: MemberSettings,
        files: Files,
        engine_settings: EngineSettings | None = None,
        clock: Clock | None = None,
        on_lost: Callable[[str], None] | None = None,
        lock_folder: Path | None = None,
    ) -> None:
        """`on_lost` is told once, from a thread, when this member has ceased to be the writer.

        `lock_folder` is as in `open_engine`.
        """
        self._lock_folder = lock_folder
        self._settings = settings
        self._files = files
        self._engine_settings = engine_settings
        self._clock = clock or SystemClock()
        self._on_lost = on_lost
        self._stopping = threading.Event()
        self._catalog = Catalog(settings.catalog_url)
        self._server = RpcServer(settings.address)
        self._watch = CatalogDirectory(self._catalog, self._clock, forget_dead=True)
        self.member_id = settings.named(ROLE_WRITER)
        self._heartbeat = Heartbeat(
            self._catalog,
            Member(
                self.member_id,
                ROLE_WRITER,
                settings.reached_at(self._server.address),
                settings.client_address,
                info=_about(),
            ),
            self._clock,
        )
        self._changing = threading.Lock()  # guards the two below, and what serves them
        self._engine: Engine | None = None
        self._stream: LogStream | None = None

    @property
    def address(self) -> str:
        """host:port of the inner protocol."""
        return self._server.address

    @property
    def service(self) -> VectorService:
        """The engine, once started."""
        assert self._engine is not None, "not started"
        return self._engine

    def start(self, *, standby: bool = False) -> bool:
        """Become the writer and serve; returns when that is so.

        As a `standby` it waits as long as another writer lives; False if `stop` came first.
        Raises Unavailable when another writer lives (unless standby), Damage.
        """
        self._heartbeat.start()
        engine: Engine | None = None
        while engine is None and not self._stopping.is_set():
            try:
                engine = open_engine(
                    self._settings.catalog_url,
                    self._files,
                    holder=self.member_id,
                    settings=self._engine_settings,
                    clock=self._clock,
                    on_lost=self._lost,
                    lock_folder=self._lock_folder,
                )
            except Unavailable as error:
                if not standby:
                    raise
                log.info("standing by: %s", error)
        return engine is not None and self._serve(engine)

    def _serve(self, engine: Engine) -> bool:
        """Open the inner port over `engine`; if `stop` came first, close it instead."""
        with self._changing:
            if self._stopping.is_set():
                engine.close()  # else its lease would be waited for
                return False
            self._engine = engine
            self._stream = LogStream(engine.writer)
            self._server.add(WRITER_METHODS, engine)
            self._server.add((TIP,), engine.writer)
            self._server.add(ALIAS_METHODS, engine.writer.defining)
            self._server.add_follow(self._stream.follow)
            self._server.start()
            self._watch.start()
        return True

    def stop(self) -> None:
        """Stop serving, close the engine (which gives the lease back) and leave the cluster."""
        self._stopping.set()
        with self._changing:
            self._watch.stop()
            if self._stream is not None:
                self._stream.close()
            self._server.stop()
            if self._engine is not None:
                self._engine.close()
        self._heartbeat.stop()
        self._catalog.close()

    def _lost(self, reason: str) -> None:
        log.error("this member is not the writer any more: %s", reason)
        if self._on_lost is not None:
            self._on_lost(reason)


class ReaderMember:
    """A reader that carries a router: `service` answers everything, its own share without a hop."""

    def __init__(
        self,
        settings: MemberSettings,
        files: Files,
        clock: Clock | None = None,
        directory: Directory | None = None,
        router_settings: RouterSettings | None = None,
    ) -> None:
        """Without `directory` the members are those of the catalog."""
        self._clock = clock or SystemClock()
        self._catalog = Catalog(settings.catalog_url)
        self._server = RpcServer(settings.address)
        self.member_id = settings.named(ROLE_READER)
        self._watch = None if directory else CatalogDirectory(self._catalog, self._clock)
        members = directory or self._watch
        assert members is not None
        threads = settings.search_threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="roost-search")
        self.reader = Reader(
            self.member_id,
            self._catalog,
            files,
            self._clock,
            self._pool,
            readers=lambda: (member.id for member in members.readers()),
            replicas=settings.replicas,
            on_change=lambda: self.service.names.forget(),
        )
        self.kept = KeptPayloads()
        self.service = Router(
            self._catalog,
            members,
            self._clock,
            router_settings or RouterSettings(replicas=settings.replicas),
            self.reader,
            self.reader.parts,
            self.kept,
        )
        self.follower = Follower(
            self.member_id,
            self._catalog,
            files,
            self.reader,
            members.writer,
            self._clock,
            kept=self.kept,
        )
        self._heartbeat = Heartbeat(
            self._catalog,
            Member(
                self.member_id,
                ROLE_READER,
                settings.reached_at(self._server.address),
                settings.client_address,
                info=_about(),
            ),
            self._clock,
        )
        self._server.add(READER_METHODS, self.reader.parts)

    @property
    def address(self) -> str:
        """host:port of the inner protocol."""
        return self._server.address

    def start(self) -> None:
        """Join the cluster.  It answers when `wait_ready` says so.  Raises Unavailable, Damage."""
        if self._watch is not None:
            self._watch.start()
        self._server.start()
        self._heartbeat.start()
        self.follower.start()
        self.reader.start()
        self.service.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until it has caught up with the log."""
        return self.follower.wait_caught_up(timeout_s)

    def stop(self) -> None:
        """Leave the cluster; queries under way here end first, or are asked elsewhere."""
        self._heartbeat.stop()
        self.service.stop()
        self._server.stop()
        self.follower.stop()
        self.reader.stop()
        if self._watch is not None:
            self._watch.stop()
        self._pool.shutdown(wait=False)
        self._catalog.close()


class RouterMember:
    """A router process of its own (the article's Mishards): every part is asked over the wire."""

    def __init__(
        self,
        settings: MemberSettings,
        clock: Clock | None = None,
        directory: Directory | None = None,
        router_settings: RouterSettings | None = None,
    ) -> None:
        """Without `directory` the members are those of the catalog."""
        self._clock = clock or SystemClock()
        self._catalog = Catalog(settings.catalog_url)
        self._watch = None if directory else CatalogDirectory(self._catalog, self._clock)
        members = directory or self._watch
        assert members is not None
        self.member_id = settings.named(ROLE_ROUTER)
        self.service = Router(
            self._catalog,
            members,
            self._clock,
            router_settings or RouterSettings(replicas=settings.replicas),
        )
        self._heartbeat = Heartbeat(
            self._catalog,
            Member(self.member_id, ROLE_ROUTER, "", settings.client_address, info=_about()),
            self._clock,
        )

    def start(self) -> None:
        """Join the cluster and answer.  Raises Unavailable without a catalog."""
        if self._watch is not None:
            self._watch.start()
        self._heartbeat.start()
        self.service.start()

    def stop(self) -> None:
        """Leave the cluster; calls under way fail."""
        self._heartbeat.stop()
        self.service.stop()
        if self._watch is not None:
            self._watch.stop()
        self._catalog.close()


def _about() -> str:
    return f"process {os.getpid()} on {os.uname().nodename}"
