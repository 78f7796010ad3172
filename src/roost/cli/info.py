"""`roost info`: inode, size and objects of a path."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaOption, inside, open_volume
from roost.sizes import format_size
from roost.volume.client import VolumeClient
from roost.volume.layout import align_4k, chunk_count
from roost.volume.model import NODE_SPACE_BYTES, ChunkNo, Node
from roost.volume.overlay import visible


@dataclass(frozen=True, slots=True)
class _Object:
    chunk: int
    name: str
    size: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class _Info:
    path: str
    inode: int
    files: int
    dirs: int
    length: int
    size: int
    objects: tuple[_Object, ...]


def info(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files or folders.")],
    meta: MetaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show inode, counts, sizes and, with --meta, the objects behind a file.

    Example: roost info --meta sqlite3:///srv/photos.db /notes.txt
    """
    with plain_errors():
        if meta is None:
            found = [_of_path(Path(path)) for path in paths]
        else:
            with open_volume(meta, read_only=True) as client:
                found = [_of_volume(client, inside(path)) for path in paths]
    if as_json:
        show_json(found)
        return
    for one in found:
        _show(one)


def _of_path(path: Path) -> _Info:
    files = dirs = length = size = 0
    for folder, names, others in os.walk(path):
        dirs += 1
        size += NODE_SPACE_BYTES
        del names
        for name in others:
            found = (Path(folder) / name).lstat()
            files, length, size = files + 1, length + found.st_size, size + align_4k(found.st_size)
    top = path.lstat()
    if not dirs:
        files, length, size = 1, top.st_size, align_4k(top.st_size)
    return _Info(str(path), top.st_ino, files, dirs, length, size, ())


def _of_volume(client: VolumeClient, path: str) -> _Info:
    node = client.node(path, follow=False)
    if node.attr.is_directory:
        files, dirs, length, size = _sum(client, path)
        return _Info(path, node.ino, files, dirs, length, size, ())
    length = node.attr.length if node.attr.is_file else 0
    size = align_4k(length) if node.attr.is_file else NODE_SPACE_BYTES
    return _Info(path, node.ino, 1, 0, length, size, tuple(_objects(client, node)))


def _sum(client: VolumeClient, path: str) -> tuple[int, int, int, int]:
    files, dirs, length, size = 0, 1, 0, NODE_SPACE_BYTES
    folders = [path]
    while folders:
        folder = folders.pop()
        for entry in client.readdir(folder, with_attrs=True):
            if entry.attr is not None and entry.attr.is_directory:
                folders.append(f"{folder.rstrip('/')}/{os.fsdecode(entry.name)}")
                dirs, size = dirs + 1, size + NODE_SPACE_BYTES
            elif entry.attr is not None and entry.attr.is_file:
                files, length = files + 1, length + entry.attr.length
                size += align_4k(entry.attr.length)
            else:
                files, size = files + 1, size + NODE_SPACE_BYTES
    return files, dirs, length, size


def _objects(client: VolumeClient, node: Node) -> list[_Object]:
    blocks = client.core.blocks
    found = []
    for chunk_no in map(ChunkNo, range(chunk_count(node.attr.length))):
        for piece in visible(client.meta.read_chunk(node.ino, chunk_no)):
            for ref in blocks.refs(piece.id, piece.size) if piece.id else ():
                start = ref.block_no * blocks.block_bytes
                first = max(piece.offset, start)
                last = min(piece.offset + piece.length, start + ref.size_bytes)
                if first < last:
                    name = f"{client.settings.name}/{blocks.key(ref)}"
                    found.append(
                        _Object(chunk_no, name, ref.size_bytes, first - start, last - first)
                    )
    return found


def _show(found: _Info) -> None:
    typer.echo(f"{found.path} :")
    typer.echo(f"  inode: {found.inode}")
    typer.echo(f"  files: {found.files}")
    typer.echo(f"   dirs: {found.dirs}")
    typer.echo(f" length: {format_size(found.length)} ({found.length})")
    typer.echo(f"   size: {format_size(found.size)} ({found.size})")
    if found.objects:
        typer.echo(f"objects: {'chunk':>5} {'size':>9} {'offset':>9} {'length':>9}  name")
    for one in found.objects:
        typer.echo(f"{one.chunk:>14} {one.size:>9} {one.offset:>9} {one.length:>9}  {one.name}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("info")(info)
