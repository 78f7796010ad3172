"""Redis servers with one thing changed, and volumes on them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from roost.bench.proxy import DelayingProxy
from roost.testing.clock import ManualClock
from roost.testing.servers import RedisServer, require
from roost.testing.servers.redis import RedisOptions
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.settings import new_settings

Opener = Callable[..., Meta]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def start_redis(stack: ExitStack) -> Callable[[RedisOptions], RedisServer]:
    """Start a server of one's own."""

    def start(options: RedisOptions) -> RedisServer:
        require(RedisServer.missing())
        return stack.enter_context(RedisServer(options))

    return start


@pytest.fixture(scope="module")
def proxy(redis_server: RedisServer) -> Iterator[DelayingProxy]:
    """A proxy before the shared server."""
    with DelayingProxy(redis_server.port) as made:
        yield made


@pytest.fixture
def open_volume(stack: ExitStack, clock: ManualClock) -> Opener:
    """Open a volume without a heartbeat of its own; closed at the end."""

    def opened(url: str, *, make: bool = False, trash_days: int = 0) -> Meta:
        if make:
            settings = new_settings("redis-suite", bucket="/b", trash_days=trash_days)
            format_volume(url, settings, clock=clock)
        meta = stack.enter_context(open_meta(url, session=False, clock=clock))
        meta.begin_session(heartbeat=False)
        return meta

    return opened
