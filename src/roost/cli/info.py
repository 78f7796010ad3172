"""`roost info`: inode, sizes, paths, and the chunks and objects behind a file."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.output import plain_errors, printable, show_json
from roost.cli.paths import JsonOption, MetaOption, demanded, inside, local_path, open_volume
from roost.cli.progress import counting
from roost.cli.tree_usage import TreeUsage, tree_of_node, tree_of_path
from roost.errors import InvalidArgument
from roost.sizes import format_size
from roost.volume.check import all_paths_of, paths_of
from roost.volume.client import VolumeClient
from roost.volume.layout import CHUNK_BYTES, chunk_count
from roost.volume.meta.answers import Progress
from roost.volume.model import ROOT, TRASH, ChunkNo, Ino, Node, SliceId
from roost.volume.overlay import cover


@dataclass(frozen=True, slots=True)
class _Object:
    """A piece of a file as it lies in the bucket; a hole has no name."""

    chunk: int
    name: str
    size: int
    offset: int
    length: int
    pos: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A visible piece of a slice; id 0 is a hole."""

    chunk: int
    slice_id: int
    size: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class _Lock:
    """Who holds what of a file.  A whole-file lock has no range."""

    sid: int
    owner: str
    kind: str
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class _Looks:
    """How closely to look."""

    recursive: bool
    strict: bool
    raw: bool
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Info:
    path: str
    inode: int
    files: int
    dirs: int
    length: int
    size: int
    paths: tuple[str, ...] = ()  # all there are, inside the volume
    tier: int | None = None
    chunks: tuple[_Piece, ...] = ()
    objects: tuple[_Object, ...] = ()
    locks: tuple[_Lock, ...] = ()


def info(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files or folders.")],
    meta: MetaOption = None,
    by_inode: Annotated[
        bool, typer.Option("--inode", "-i", help="PATH is an inode of the volume (--meta).")
    ] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Add up all that is below a folder.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="With -r: look at every entry; else trust the folders' statistics."
        ),
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Show the slices of a file, not its objects.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show inode, counts, sizes and, with --meta, the objects behind a file.

    Example: roost info -r --meta redis://localhost/1 /projects
    Example: roost info --meta sqlite3:///srv/photos.db -i 42
    """
    with plain_errors(), counting("entries") as progress:
        if meta is None:
            if by_inode or raw:
                demanded(None, "inodes and slices are", "info --meta redis://localhost/1 -i 42")
            found = [_of_path(local_path(path), recursive, progress) for path in paths]
        else:
            with open_volume(meta, read_only=True) as client:
                nodes = [_node(client, path, by_inode=by_inode) for path in paths]
                looks = _Looks(recursive, strict, raw, progress)
                found = [_of_node(client, *one, looks) for one in nodes]
    if as_json:
        show_json(found)
        return
    for one in found:
        _show(one)


def _of_path(path: Path, recursive: bool, progress: Progress) -> _Info:
    tree = tree_of_path(path, progress)
    usage = tree.all() if recursive else tree.direct()
    inner = _inside_mount(path)
    paths = () if inner is None else (inner,)
    return _with_usage(str(path), path.lstat().st_ino, usage, paths=paths)


def _inside_mount(path: Path) -> str | None:
    """Return the path inside a mount of JuiceFS; None elsewhere."""
    top = Path(os.path.abspath(path))
    names: list[str] = []
    while top.lstat().st_ino != ROOT:
        if top == top.parent:
            return None
        names.append(top.name)
        top = top.parent
    try:
        is_mount = (top / ".config").lstat().st_ino > TRASH - (1 << 32)
    except OSError:
        return None
    return "/" + "/".join(reversed(names)) if is_mount else None


def _node(client: VolumeClient, path: str, *, by_inode: bool) -> tuple[str, Node]:
    """Return a node and a path of it.  Raises InvalidArgument, FsError."""
    if not by_inode:
        place = inside(path)
        return place, client.node(place, follow=False)
    if not path.isdigit():
        raise InvalidArgument(f"not an inode: {path!r}", hint="Leave -i out to name a path.")
    ino = Ino(int(path))
    node = Node(ino, client.meta.getattr(ino))
    return paths_of(client, frozenset((ino,))).get(ino, ""), node


def _of_node(client: VolumeClient, path: str, node: Node, looks: _Looks) -> _Info:
    tree = tree_of_node(client.meta, node, strict=looks.strict, progress=looks.progress)
    paths = _paths(client, path, node)
    usage = tree.all() if looks.recursive else tree.direct()
    if not node.attr.is_file:
        return _with_usage(path, node.ino, usage, tier=node.attr.tier, paths=paths)
    return _with_usage(
        path,
        node.ino,
        usage,
        paths=paths,
        tier=node.attr.tier,
        chunks=tuple(_pieces(client, node)) if looks.raw else (),
        objects=() if looks.raw else tuple(_objects(client, node)),
        locks=tuple(_locks(client, node.ino)),
    )


def _paths(client: VolumeClient, path: str, node: Node) -> tuple[str, ...]:
    """Return all paths of a node; `path` is one, or empty."""
    if node.attr.is_directory or node.attr.nlink <= 1:
        return (path,) if path else ()
    return all_paths_of(client, node.ino)


def _with_usage(
    path: str,
    inode: int,
    usage: TreeUsage,
    *,
    tier: int | None = None,
    paths: tuple[str, ...] = (),
    chunks: tuple[_Piece, ...] = (),
    objects: tuple[_Object, ...] = (),
    locks: tuple[_Lock, ...] = (),
) -> _Info:
    counted = (usage.files, usage.dirs, usage.length, usage.size)
    return _Info(path, inode, *counted, paths, tier, chunks, objects, locks)


def _pieces(client: VolumeClient, node: Node) -> Iterator[_Piece]:
    """Yield what is visible of a file, in order; what no slice covers is a hole."""
    length = node.attr.length
    for chunk_no in map(ChunkNo, range(chunk_count(length))):
        end = min(length - chunk_no * CHUNK_BYTES, CHUNK_BYTES)
        for piece in cover(client.meta.read_chunk(node.ino, chunk_no), 0, end):
            yield _Piece(chunk_no, piece.id, piece.size, piece.offset, piece.length)


def _objects(client: VolumeClient, node: Node) -> Iterator[_Object]:
    """Yield the objects behind a file, in order of their place in it."""
    blocks = client.core.blocks
    pos = 0
    for piece in _pieces(client, node):
        if not piece.slice_id:
            yield _Object(piece.chunk, "", 0, 0, piece.length, pos)
        for ref in blocks.refs(SliceId(piece.slice_id), piece.size) if piece.slice_id else ():
            start = ref.block_no * blocks.block_bytes
            first = max(piece.offset, start)
            last = min(piece.offset + piece.length, start + ref.size_bytes)
            if first < last:
                name = f"{client.settings.name}/{blocks.key(ref)}"
                at = pos + first - piece.offset
                yield _Object(piece.chunk, name, ref.size_bytes, first - start, last - first, at)
        pos += piece.length


def _locks(client: VolumeClient, ino: Ino) -> list[_Lock]:
    whole, ranges = client.meta.engine.read(
        lambda reads: (reads.flocks(ino), reads.range_locks(ino))
    )
    found = [_Lock(who.sid, f"{who.owner:016X}", kind.name.lower()) for who, kind in whole]
    for who, held in ranges:
        owner = f"{who.owner:016X}"
        found += [_Lock(who.sid, owner, one.kind.name.lower(), one.start, one.end) for one in held]
    return found


def _show(found: _Info) -> None:
    typer.echo(f"{found.path} :")
    typer.echo(f"  inode: {found.inode}")
    typer.echo(f"  files: {found.files}")
    typer.echo(f"   dirs: {found.dirs}")
    typer.echo(f" length: {format_size(found.length)} ({found.length} Bytes)")
    typer.echo(f"   size: {format_size(found.size)} ({found.size} Bytes)")
    if len(found.paths) == 1:
        typer.echo(f"   path: {printable(found.paths[0])}")
    elif found.paths:
        typer.echo("  paths:")
        for path in found.paths:
            typer.echo(f"\t{printable(path)}")
    if found.tier is not None:
        typer.echo(f"   tier: {found.tier}")
    if found.chunks:
        _table(" chunks:", ("chunkIndex", "sliceId", "size", "offset", "length"), found.chunks)
    if found.objects:
        names = ("chunkIndex", "objectName", "size", "offset", "length", "pos")
        _table("objects:", names, found.objects)
    if found.locks:
        _table("  locks:", ("sid", "owner", "kind", "start", "end"), found.locks)


def _table(title: str, names: tuple[str, ...], rows: tuple[_Piece | _Object | _Lock, ...]) -> None:
    """Print a plain table, one line for a row whatever the terminal's width."""
    lines = [names]
    for row in rows:
        values = [getattr(row, name) for name in row.__slots__]
        lines.append(tuple("" if value is None else str(value) for value in values))
    widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
    typer.echo(title)
    for line in lines:
        cells = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  " + "  ".join(cells))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("info")(info)
