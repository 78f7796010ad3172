"""`roost ls`: what is in a folder."""

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaOption, inside, located
from roost.volume.client import VolumeClient
from roost.volume.model import Attr


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    mode: str
    nlink: int
    uid: int
    gid: int
    size_bytes: int
    mtime: str


def ls(
    path: Annotated[str, typer.Argument(help="A folder or a file.")] = ".",
    meta: MetaOption = None,
    long: Annotated[bool, typer.Option("-l", "--long", help="Mode, owner, size, date.")] = False,
    hidden: Annotated[bool, typer.Option("-a", "--all", help="Names that begin with a dot.")] = (
        False
    ),
    as_json: JsonOption = False,
) -> None:
    """List a folder, sorted by name.

    Example: roost ls -l --meta sqlite3:///srv/photos.db /2026
    """
    with plain_errors():
        where = located(meta, [path])
        if where.place is None:
            rows = _rows_of_directory(Path(path))
        else:
            with where.open(read_only=True) as client:
                rows = _rows_of_volume(client, inside(where.paths[0]))
    shown = [row for row in rows if hidden or not row.name.startswith(".")]
    if as_json:
        show_json(shown)
        return
    for row in shown:
        typer.echo(_line(row) if long else _printable(row.name))


def _rows_of_directory(path: Path) -> list[_Row]:
    if not path.is_dir():
        return [_row_of_stat(str(path), path.lstat())]
    names = sorted(os.listdir(path), key=os.fsencode)
    return [_row_of_stat(name, (path / name).lstat()) for name in names]


def _rows_of_volume(client: VolumeClient, path: str) -> list[_Row]:
    attr = client.stat(path)
    if not attr.is_directory:
        return [_row_of_attr(path, attr)]
    entries = client.readdir(path, with_attrs=True)
    return [_row_of_attr(os.fsdecode(entry.name), entry.attr) for entry in entries if entry.attr]


def _row_of_stat(name: str, found: os.stat_result) -> _Row:
    return _Row(
        name,
        stat.filemode(found.st_mode),
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_size,
        _date(found.st_mtime_ns),
    )


def _row_of_attr(name: str, attr: Attr) -> _Row:
    return _Row(
        name,
        stat.filemode(attr.st_mode),
        attr.nlink,
        attr.uid,
        attr.gid,
        attr.length,
        _date(attr.mtime_ns),
    )


def _date(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(row: _Row) -> str:
    owner = f"{row.uid:>5} {row.gid:>5}"
    name = _printable(row.name)
    return f"{row.mode} {row.nlink:>3} {owner} {row.size_bytes:>12} {row.mtime} {name}"


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ls")(ls)
