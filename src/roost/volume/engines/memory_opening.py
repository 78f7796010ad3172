"""Volumes in the memory of this process, by name."""

import threading
from collections.abc import Callable

from roost.clock import Clock
from roost.volume.engines.memory import MemoryEngine
from roost.volume.engines.registry import MetaUrl
from roost.volume.errors import NotFormatted
from roost.volume.meta.txn import Engine

_lock = threading.Lock()  # guards `_engines`
_engines: dict[str, MemoryEngine] = {}


def create_engine(url: MetaUrl, clock: Clock) -> Engine:
    """As in EngineKind."""
    with _lock:
        return _engines.setdefault(url.path, MemoryEngine(clock))


def undoing(url: MetaUrl) -> Callable[[], None]:
    """As in EngineKind; no file is made."""
    return lambda: None


def open_engine(url: MetaUrl, clock: Clock, *, read_only: bool) -> Engine:
    """As in EngineKind."""
    with _lock:
        found = _engines.get(url.path)
    if found is None:
        raise NotFormatted(f"no volume at {url.display}")
    return found


def drop_memory_volume(name: str) -> None:
    """Forget memory://NAME."""
    with _lock:
        _engines.pop(name, None)
