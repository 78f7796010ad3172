"""`roost stats`: what a client does right now, line by line."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.metric_sources import (
    Numbers,
    Source,
    address_source,
    meta_source,
    mount_source,
)
from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption
from roost.errors import InvalidArgument
from roost.sizes import KIB
from roost.volume.meta.api import open_meta

HEADER_EVERY = 20


@dataclass(frozen=True, slots=True)
class Column:
    """A figure: `per` second (rate), as it stands (gauge), in percent, or ms per (average)."""

    name: str
    kind: str
    metrics: tuple[str, ...]
    """Any of these, of the clients that are known; for an average followed by the counts."""
    counts: tuple[str, ...] = ()
    detail: bool = False
    """Shown with -l 1 only."""

    def value(self, before: Numbers, after: Numbers, seconds: float) -> float | None:
        """Return the figure between two readings; None if this client does not tell it."""
        found = [metric for metric in self.metrics if metric in after]
        if not found:
            return None
        now = sum(after[metric] for metric in found)
        if self.kind == "gauge":
            return now
        grown = now - sum(before.get(metric, 0.0) for metric in found)
        if self.kind == "average":
            count = sum(after.get(one, 0.0) - before.get(one, 0.0) for one in self.counts)
            return grown * 1000 / count if count else 0.0
        return grown * (100 if self.kind == "percent" else 1) / seconds


@dataclass(frozen=True, slots=True)
class Section:
    """Columns under one heading; `letter` names it in --schema, as in JuiceFS."""

    letter: str
    title: str
    columns: tuple[Column, ...]


def _latency(name: str, metric: str, *, detail: bool = False) -> Column:
    return Column(name, "average", (f"{metric}_sum",), (f"{metric}_total",), detail)


_FUSE = "juicefs_fuse_ops_durations_histogram_seconds"
_META = "juicefs_meta_ops_durations_histogram_seconds"
_TXN = "juicefs_transaction_durations_histogram_seconds"
_OBJECT = "juicefs_object_request_durations_histogram_seconds"
SECTIONS = (
    Section(
        "u",
        "usage",
        (
            Column("cpu %", "percent", ("juicefs_cpu_usage", "process_cpu_seconds_total")),
            Column("mem", "gauge", ("juicefs_memory", "process_resident_memory_bytes")),
            Column("buf", "gauge", ("juicefs_used_buffer_size_bytes",)),
            Column("staged", "gauge", ("juicefs_staging_block_bytes", "roost_staged_bytes")),
        ),
    ),
    Section(
        "f",
        "fuse",
        (
            Column("ops/s", "rate", (f"{_FUSE}_total",)),
            _latency("ms", _FUSE),
            Column("read/s", "rate", ("juicefs_fuse_read_size_bytes_sum",)),
            Column("write/s", "rate", ("juicefs_fuse_written_size_bytes_sum",)),
        ),
    ),
    Section(
        "m",
        "meta",
        (
            Column("ops/s", "rate", (f"{_META}_total",)),
            _latency("ms", _META),
            Column("txn/s", "rate", (f"{_TXN}_total",), detail=True),
            _latency("txn ms", _TXN, detail=True),
            Column("retry/s", "rate", ("juicefs_transaction_restart",), detail=True),
        ),
    ),
    Section(
        "c",
        "cache",
        (
            Column("read/s", "rate", ("juicefs_blockcache_hit_bytes",)),
            Column("write/s", "rate", ("juicefs_blockcache_write_bytes",)),
        ),
    ),
    Section(
        "o",
        "object",
        (
            Column(
                "get/s",
                "rate",
                ("juicefs_object_request_data_bytes_GET", "roost_object_read_bytes_total"),
            ),
            Column(
                "put/s",
                "rate",
                ("juicefs_object_request_data_bytes_PUT", "roost_object_written_bytes_total"),
            ),
            Column("gets/s", "rate", (f"{_OBJECT}_GET_total",), detail=True),
            _latency("get ms", f"{_OBJECT}_GET", detail=True),
            Column("puts/s", "rate", (f"{_OBJECT}_PUT_total",), detail=True),
            _latency("put ms", f"{_OBJECT}_PUT", detail=True),
        ),
    ),
    Section(
        "v",
        "volume",
        (
            Column("used", "gauge", ("volume_used_bytes",)),
            Column("grows/s", "rate", ("volume_used_bytes",)),
            Column("inodes", "gauge", ("volume_used_inodes",)),
            Column("inodes/s", "rate", ("volume_used_inodes",)),
            Column("slices/s", "rate", ("volume_slices",)),
            Column("sessions", "gauge", ("volume_sessions",)),
        ),
    ),
)
_GO = Section(
    "g",
    "go",
    (
        Column("alloc", "gauge", ("juicefs_go_memstats_alloc_bytes", "go_memstats_alloc_bytes")),
        Column("sys", "gauge", ("juicefs_go_memstats_sys_bytes", "go_memstats_sys_bytes")),
    ),
)
"""Of the official client alone; shown if it is asked for."""
_TIME = "t"  # not a section: when the line was told
_SHOWN = "".join(section.letter for section in SECTIONS)
_LETTERS = f"{_TIME}{_SHOWN}{_GO.letter}"


def stats(
    path: Annotated[
        str,
        typer.Argument(metavar="MOUNTPOINT|ADDRESS|META-URL", help="Whose numbers to show."),
    ],
    schema: Annotated[
        str,
        typer.Option(
            help="Sections: u usage, f fuse, m meta, c cache, o object, v volume, "
            "g Go's memory (juicefs alone); and t, the time."
        ),
    ] = _SHOWN,
    interval: Annotated[float, typer.Option(help="Seconds between two lines.", min=0.05)] = 1.0,
    verbosity: Annotated[int, typer.Option("--verbosity", "-l", help="0 or 1.", min=0, max=1)] = 0,
    count: Annotated[int, typer.Option("--count", "-c", help="Lines; 0: no limit.", min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show what a client does, a line each second; what it does not tell is left out.

    A mount (of JuiceFS too) tells by its file `.stats`; a Roost process by the port of its metrics
    (roost serve, http://HOST:PORT); a META-URL what the metadata counts for all clients.

    Example: roost stats /mnt/jfs -l 1
    Example: roost stats http://127.0.0.1:9091 --schema uo
    """
    with plain_errors():
        wanted = [section for section in (*SECTIONS, _GO) if section.letter in schema]
        unknown = set(schema) - set(_LETTERS)
        if unknown:
            raise InvalidArgument(
                f"unknown sections: {', '.join(sorted(unknown))}", hint=f"Known: {_LETTERS}."
            )
        how = _How(wanted, verbosity, interval, count, _TIME in schema, as_json)
        if path.startswith(("http://", "https://")):
            _show(address_source(path), how)
        elif "://" in path:
            with open_meta(path, read_only=True) as meta:
                _show(meta_source(meta), how)
        else:
            _show(mount_source(Path(path)), how)


@dataclass(frozen=True, slots=True)
class _How:
    """What is shown, and how."""

    sections: list[Section]
    verbosity: int
    interval_s: float
    count: int
    with_time: bool
    as_json: bool


def _show(source: Source, how: _How) -> None:
    for shown, (before, after, seconds) in enumerate(_readings(source, how.interval_s)):
        known = {
            section: [
                (column, value)
                for column in section.columns
                if (how.verbosity or not column.detail)
                and (value := column.value(before, after, seconds)) is not None
            ]
            for section in how.sections
        }
        told = {section: columns for section, columns in known.items() if columns}
        if not told:
            raise InvalidArgument("nothing that these sections show is told here")
        now = datetime.now().astimezone() if how.with_time else None
        if how.as_json:
            numbers = {s.title: {column.name: value for column, value in told[s]} for s in told}
            show_json(numbers if now is None else {"time": now.isoformat("T", "seconds")} | numbers)
        else:
            if shown % HEADER_EVERY == 0:
                _headings(told, " " * 9 if now else "")
            cells = [" ".join(f"{_cell(c, v):>8}" for c, v in told[s]) for s in told]
            typer.echo((f"{now:%H:%M:%S} " if now else "") + "|".join(cells))
        if shown + 1 == how.count:
            return


def _readings(source: Source, interval_s: float) -> Iterator[tuple[Numbers, Numbers, float]]:
    """Yield (numbers before, numbers after, seconds between), again and again."""
    before, at = source(), time.monotonic()
    while True:
        time.sleep(interval_s)
        after, now = source(), time.monotonic()
        yield before, after, now - at
        before, at = after, now


def _headings(told: dict[Section, list[tuple[Column, float]]], before: str) -> None:
    widths = [9 * len(columns) - 1 for columns in told.values()]
    titles = [f"{section.title:-^{width}}" for section, width in zip(told, widths, strict=True)]
    typer.echo(before + " ".join(titles))
    names = [" ".join(f"{column.name:>8}" for column, _ in told[section]) for section in told]
    typer.echo(before + "|".join(names))


def _cell(column: Column, value: float) -> str:
    if column.kind == "average":
        return f"{value:.2f}"
    if column.kind == "percent":
        return f"{value:.1f}"
    size = float(value)
    for unit in ("", "K", "M", "G", "T"):
        if abs(size) < 10 * KIB or unit == "T":
            break
        size /= KIB
    return f"{size:.0f}{unit}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stats")(stats)
