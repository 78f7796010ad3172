"""The numbers that shape the engine, in one place, each with its reason."""

from dataclasses import dataclass

from roost.sizes import GIB, MIB


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the writing side behaves.  Defaults suit a machine with a few cores."""

    flush_rows: int = 2_097_152
    """Growing rows of a collection that start a flush; narrow rows reach it before the bytes."""
    flush_bytes: int = 576 * MIB
    """Growing bytes of a collection that start a flush: they live in memory on every member.

    A little above the target of compaction, so that a flush makes segments of full size at once:
    few segments answer faster, and nothing is written or indexed twice.  A scan of so much takes
    about 30 ms on two cores.
    """
    flush_age_s: float = 600.0
    """Rows older than this are flushed, so that a quiet collection does not pin the log."""
    log_bytes_max: int = 512 * MIB
    """Log written since a collection's last flush that makes it flush, however little it has.

    Bounds what a take-over replays (hazards H17, H22).
    """
    growing_bytes_max: int = 2 * GIB
    """Growing bytes of all collections above which inserts wait for a flush (back-pressure)."""

    segment_bytes: int = 512 * MIB
    """Target of compaction: one million rows of 128 float32 make one or two segments."""
    compact_segments_min: int = 4
    """Small segments of a partition that are merged by themselves without anybody asking."""
    compact_deleted_share: float = 0.2
    """A segment with more deleted rows than this is rewritten."""

    index_rows_min: int = 1_024
    """Smaller segments are scanned faster than their index is opened; they get none."""
    index_retries_max: int = 3
    """Builds of one segment and field that may fail before the index is shown as failed."""

    grace_s: float = 3_600.0
    """Doomed files and covered log files stay this long (hazards H9, H21)."""
    collect_interval_s: float = 60.0
    """Between two looks for files nobody needs."""
    flush_interval_s: float = 1.0
    """Between two looks whether a collection wants a flush."""

    lease_term_s: float = 3.0
    """A standby takes over after the lease stood still this long (hazard H1)."""
    heartbeat_s: float = 0.2
    """Between two watermarks while nothing is written: bounds how stale a reader seems."""
    version_grace_s: float = 120.0
    """Superseded versions stay answerable this long: a query, an iterator's pause (H7)."""
    background_threads: int = 2
    """Threads that flush.  0: no maintenance by itself, only by `WriterEngine.maintain`."""
    search_threads: int = 0
    """Threads that search segments; 0 means one for each processor."""
    room_wait_s: float = 30.0
    """How long a write waits for a flush to make room before it is refused as Unavailable."""
