"""How bytes travel between a program, this host's disks and the object store.

The names are those of JuiceFS's mount options, with their units.  Source: juicefs mount --help.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from roost.blob.patience import Patience
from roost.errors import InvalidArgument
from roost.sizes import GIB, MIB

ChecksumLevel = Literal["none", "full", "shrink", "extend"]
Eviction = Literal["none", "2-random", "lru"]

THREADS_MAX = 64
"""Of one pool: more threads of an interpreter only wait for each other."""


@dataclass(frozen=True, slots=True)
class DataSettings:
    """The data path of one client.

    `cache_dirs` hold blocks fetched from the store, and with `writeback` those not yet there.  If
    there are none, the client's cache folder is used; and a volume whose store is a folder of this
    host then caches no blocks, because reading the object itself costs the same.
    Folders that cannot be used are left out; write-back needs the first one.
    """

    # Writing
    buffer_size_bytes: int = 300 * MIB  # slower above it; at twice as much writers wait
    max_uploads: int = 20
    writeback: bool = False
    upload_delay_s: float = 0.0
    max_stage_write: int = 1000  # blocks staged at a time; more go to the store directly
    stage_size_bytes: int = 10 * GIB  # waiting on disk; more go to the store directly

    # Reading
    max_downloads: int = 200
    max_readahead_bytes: int = 0  # of a reader; half of the memory cache at most; 0: 16 blocks or 4
    prefetch: int = 1  # whole blocks fetched at a time after reads of parts; 0: none
    memory_cache_bytes: int = 128 * MIB

    # Blocks on local disks
    cache_dirs: tuple[Path, ...] = ()
    cache_size_bytes: int = 100 * GIB  # of all directories together; 0: no blocks on disk
    cache_items: int = 0  # 0: as many as fit
    free_space_ratio: float = 0.1
    cache_mode: int = 0o600
    cache_partial_only: bool = False  # keep only what parts of blocks were read from
    cache_large_write: bool = False  # keep full blocks that were written
    verify_cache_checksum: ChecksumLevel = "extend"  # "none": nor of local copies of whole files
    cache_eviction: Eviction = "2-random"
    cache_expire_s: float = 0.0  # 0: never

    # The object store
    io_retries: int = 10
    get_timeout_s: float | None = None  # None: not chosen, and as patient as everybody
    put_timeout_s: float | None = None
    upload_limit_mbps: int | None = None  # megabits per second; None: as the volume says
    download_limit_mbps: int | None = None

    # Housekeeping
    compact: bool = True  # merge the records of chunks that have many

    def __post_init__(self) -> None:
        """Raise InvalidArgument for what can never work."""
        for name in ("buffer_size_bytes", "max_uploads", "max_downloads", "memory_cache_bytes"):
            if getattr(self, name) < 1:
                raise InvalidArgument(f"{name} must be at least 1")
        if not 0 <= self.free_space_ratio < 1:
            raise InvalidArgument("free_space_ratio must be at least 0 and less than 1")

    @property
    def patience(self) -> Patience:
        """How long and how often the store is asked.

        All requests have one time-out, the longer one of the two.  One that was chosen tells how
        slowly the store answers for the first time.
        """
        usual = Patience(tries_max=max(self.io_retries, 1))
        chosen = [s for s in (self.get_timeout_s, self.put_timeout_s) if s is not None]
        if not chosen:
            return usual
        patience = usual.waiting(max(chosen))
        if len(chosen) == 2:
            return patience
        return replace(patience, request_timeout_s=max(*chosen, usual.request_timeout_s))

    @property
    def upload_threads(self) -> int:
        """Threads that store blocks."""
        return min(self.max_uploads, THREADS_MAX)

    @property
    def download_threads(self) -> int:
        """Threads that fetch blocks."""
        return min(self.max_downloads, THREADS_MAX)
