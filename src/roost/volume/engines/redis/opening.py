"""Redis volumes by URL."""

from collections.abc import Callable

from roost.clock import Clock
from roost.volume.engines.redis.engine import RedisEngine
from roost.volume.engines.redis.link import Link
from roost.volume.engines.redis.places import place_of
from roost.volume.engines.registry import MetaUrl
from roost.volume.meta.txn import Engine


def create_engine(url: MetaUrl, clock: Clock) -> Engine:
    """As in EngineKind; Redis has no tables to make."""
    return open_engine(url, clock, read_only=False)


def undoing(url: MetaUrl) -> Callable[[], None]:
    """As in EngineKind; no file is made."""
    return lambda: None


def open_engine(url: MetaUrl, clock: Clock, *, read_only: bool) -> Engine:
    """As in EngineKind; whether there is a volume is for the settings to say."""
    return RedisEngine(Link(place_of(url), read_only=read_only), clock, read_only=read_only)
