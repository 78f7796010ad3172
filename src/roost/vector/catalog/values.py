"""What the catalog stores besides collections and manifests, as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The writer's lease as the catalog has it."""

    generation: int
    """Of the last writer that claimed it; 0 before the first."""
    holder: str
    """That writer's member id, empty before the first."""
    renewals: int
    """Rises with each claim and renewal; standing still for `term_s` means the holder is gone."""
    high_water_ts: int
    """No timestamp above this one was handed out by any writer (hazard H22)."""
    released: bool
    """The holder stepped down cleanly; anyone may claim at once."""
    term_s: float
    """How long a renewal holds, as the last holder counted."""


@dataclass(frozen=True, slots=True)
class Member:
    """A process of the cluster."""

    id: str
    role: str
    """rw, ro or router."""
    address: str
    """host:port of its inner protocol."""
    client_address: str = ""
    """host:port where it speaks Milvus; empty if it does not."""
    beats: int = 0
    """Heartbeat counter: whoever watches judges by its own clock whether it still moves."""
    info: str = ""
    """One line for people: version, process id, host."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A manifest version that must not go, by name (a snapshot)."""

    name: str
    collection_id: int
    version: int


@dataclass(frozen=True, slots=True)
class Doomed:
    """A file or folder that no manifest may name any more (hazard H21)."""

    path: str
    generation: int
    """Of the writer that marked it."""
    doomed_ms: int
    """When, in milliseconds since the Unix epoch on that writer's clock."""
