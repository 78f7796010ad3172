"""`roost profile`: which operations of a client took how long, from its access log."""

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption
from roost.errors import InvalidArgument
from roost.telemetry.access_log import Profile, Wanted, profiles

ACCESS_LOG = ".accesslog"


def profile(
    path: Annotated[
        Path, typer.Argument(metavar="MOUNTPOINT|LOGFILE", help="A mount, or a saved access log.")
    ],
    uid: Annotated[str, typer.Option("--uid", "-u", help="Only these users, by comma.")] = "",
    gid: Annotated[str, typer.Option("--gid", "-g", help="Only these groups, by comma.")] = "",
    pid: Annotated[str, typer.Option("--pid", "-p", help="Only these processes, by comma.")] = "",
    interval: Annotated[
        float | None,
        typer.Option(
            help="Seconds of each table; 0: one for all. Default: 2 for a mount, 0 for a file.",
            min=0,
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-c", help="Tables; 0: no limit.", min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show how often each operation was done and for how long, the longest first.

    Reads `.accesslog` of a mount (of JuiceFS too), or a log of the same form: saved from there, or
    written by a client in process (roost.volume.access_log).

    Example: roost profile /mnt/jfs -c 5
    Example: cat /mnt/jfs/.accesslog > /tmp/access.log; roost profile /tmp/access.log
    """
    with plain_errors():
        wanted = Wanted(_numbers(uid), _numbers(gid), _numbers(pid))
        is_mount = path.is_dir()
        each = interval if interval is not None else 2.0 if is_mount else 0.0
        if is_mount and not each:
            raise InvalidArgument("the log of a mount has no end", hint="Use --interval 2.")
        lines = _live_lines(path / ACCESS_LOG) if is_mount else _file_lines(path)
        found = profiles(lines, wanted, each)
        shown = found if count == 0 else islice(found, count)
        if as_json:
            show_json([_as_json(at_s, one) for at_s, one in shown])
            return
        for at_s, one in shown:
            _show(at_s, one)


def _numbers(text: str) -> frozenset[int]:
    try:
        return frozenset(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise InvalidArgument(f"not numbers: {text!r}", hint="Write for example 0,1000.") from None


def _file_lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from file


def _live_lines(path: Path) -> Iterator[str]:
    """Yield lines as they are written; the file of a mount answers at least once a second."""
    if not path.exists():
        raise InvalidArgument(
            f"{path.parent} is no mount with an access log",
            hint="Name the top of a mount, or a file with a log.",
        )
    descriptor = os.open(path, os.O_RDONLY)
    try:
        rest = b""
        while data := os.read(descriptor, 1 << 20):
            *lines, rest = (rest + data).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in lines)
    finally:
        os.close(descriptor)


def _as_json(at_s: float, found: Profile) -> dict[str, object]:
    return {
        "at": datetime.fromtimestamp(at_s).astimezone().isoformat(timespec="seconds"),
        "operations": [
            {"operation": name, "count": count, "average_us": _us(seconds / count), "s": seconds}
            for name, count, seconds in found.by_time()
        ],
    }


def _show(at_s: float, found: Profile) -> None:
    stamp = datetime.fromtimestamp(at_s).isoformat(sep=" ", timespec="seconds")
    table = Table(title=f"until {stamp}", title_justify="left")
    table.add_column("operation")
    for name in ("count", "average (µs)", "total (µs)", "share"):
        table.add_column(name, justify="right")
    total = sum(found.seconds.values()) or 1.0
    for name, count, seconds in found.by_time():
        table.add_row(
            name,
            f"{count:,}",
            f"{_us(seconds / count):,}",
            f"{_us(seconds):,}",
            f"{100 * seconds / total:.1f} %",
        )
    Console().print(table)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("profile")(profile)
