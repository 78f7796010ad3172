"""Redis volumes by URL."""

from roost.clock import Clock
from roost.volume.engines.registry import MetaUrl
from roost.volume.meta.txn import Engine


def create_engine(url: MetaUrl, clock: Clock) -> Engine:
    """As in EngineKind."""
    raise NotImplementedError


def open_engine(url: MetaUrl, clock: Clock, *, read_only: bool) -> Engine:
    """As in EngineKind."""
    raise NotImplementedError
