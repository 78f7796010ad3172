"""`roost ls`: what is in a folder."""

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.output import complain, plain_errors, printable, show_json
from roost.cli.paths import JsonOption, MetaOption, inside, located
from roost.errors import CorruptRecord, Damage
from roost.volume.client import VolumeClient
from roost.volume.meta.listing import readable_entries
from roost.volume.model import Attr, DirEntry, Problem


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

    An entry that cannot be read is named on standard error, and the exit code is then 4.

    Example: roost ls -l --meta sqlite3:///srv/photos.db /2026
    """
    damaged: list[str] = []
    with plain_errors():
        where = located(meta, [path])
        if where.place is None:
            rows = _rows_of_directory(Path(path), damaged)
        else:
            with where.open(read_only=True) as client:
                rows = _rows_of_volume(client, inside(where.paths[0]), damaged)
    shown = [row for row in rows if hidden or not row.name.startswith(".")]
    if as_json:
        show_json(shown)
    for row in () if as_json else shown:
        typer.echo(_line(row) if long else printable(row.name))
    for line in damaged:
        complain(f"damaged: {line}")
    if damaged:
        raise typer.Exit(Damage.exit_code)


def _rows_of_directory(path: Path, damaged: list[str]) -> list[_Row]:
    if not path.is_dir():
        return [_row_of_stat(str(path), path.lstat())]
    rows = []
    for name in sorted(os.listdir(path), key=os.fsencode):
        try:
            rows.append(_row_of_stat(name, (path / name).lstat()))
        except FileNotFoundError:  # removed meanwhile
            continue
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            damaged.append(f"{path / name}: {error.strerror}")
    return rows


def _rows_of_volume(client: VolumeClient, path: str, damaged: list[str]) -> list[_Row]:
    node = client.node(path)
    if not node.attr.is_directory:
        return [_row_of_attr(path, node.attr)]
    try:
        found: Iterable[DirEntry | Problem] = client.readdir(path, with_attrs=True)
    except CorruptRecord:
        found = readable_entries(client.meta.engine, node.ino)
    rows = []
    for one in found:
        if isinstance(one, Problem):
            damaged.append(f"{path}: {one.what}")
        elif one.attr is not None:
            rows.append(_row_of_attr(os.fsdecode(one.name), one.attr))
    return rows


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
    name = printable(row.name)
    return f"{row.mode} {row.nlink:>3} {owner} {row.size_bytes:>12} {row.mtime} {name}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ls")(ls)
