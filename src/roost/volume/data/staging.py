"""Write-back: blocks on this host's disk on their way to the store."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Staged:
    """Blocks acknowledged to writers that only this host's disk holds."""

    files: int
    size_bytes: int
    lost: tuple[str, ...] = ()  # objects whose staged copy vanished before it was stored
