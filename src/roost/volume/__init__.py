"""The file system: POSIX rules over metadata engines, bytes over object stores.

`Volume` and `AsyncVolume` are loaded when they are first asked for, so that importing a module of
this room costs nothing else.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roost.volume.access.asynchronous import AsyncVolume as AsyncVolume
    from roost.volume.access.volume import Volume as Volume

__all__ = ["AsyncVolume", "Volume"]


def __getattr__(name: str) -> object:
    if name == "Volume":
        from roost.volume.access.volume import Volume

        return Volume
    if name == "AsyncVolume":
        from roost.volume.access.asynchronous import AsyncVolume

        return AsyncVolume
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
