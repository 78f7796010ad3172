"""`roost cp`: copy between the local disk and a volume, either way, or within one."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from roost.cli.data_options import DataPath, with_data_options
from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaOption, inside, located
from roost.errors import InvalidArgument, NotFound
from roost.volume import Volume
from roost.volume.access.copying import draft_of
from roost.volume.client import VolumeClient

Told = Callable[[int], None]


def cp(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="What to copy.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A file, or a folder.")],
    meta: MetaOption = None,
    recursive: Annotated[
        bool, typer.Option("-r", "-R", "--recursive", help="Folders with all in them.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress bar.")] = False,
    as_json: JsonOption = False,
    *,
    data: DataPath,
) -> None:
    """Copy files.  With --meta, a path that begins with ":" is in the volume, any other is local.

    A target that is a folder, or ends in "/", gets the sources inside it; a file appears whole or
    not at all.  Symbolic links in folders are copied as links.

    Example: roost cp --meta sqlite3:///srv/photos.db holiday.jpg :/2026/
    """
    with plain_errors():
        where = located(meta, [*sources, target], local_too=True)
        *sources, target = where.paths
        copied = _Copied()
        if where.place is None:
            _copy_by_the_system(sources, target, recursive, copied)
        else:
            read_only = not target.startswith(":")
            with where.open(read_only=read_only, data=data) as client:
                copier = _Copier(client, recursive, copied)
                with _progress(quiet) as bar:
                    copier.told = _teller(bar, copied)
                    for source in sources:
                        copier.copy(source, target, into=len(sources) > 1)
    if as_json:
        show_json(copied)


@dataclass(slots=True)
class _Copied:
    """What was copied; links count as files."""

    files: int = 0
    bytes: int = 0


class _Copier:
    """Copies one source at a time; `told` hears of bytes."""

    def __init__(self, client: VolumeClient, recursive: bool, copied: _Copied) -> None:
        self._client = client
        self._copied = copied
        self._recursive = recursive
        self.told: Told = lambda _size_bytes: None

    def copy(self, source: str, target: str, *, into: bool) -> None:
        """Copy `source` to `target`; with `into` the target must be a folder."""
        if not source.startswith(":") and not target.startswith(":"):
            raise InvalidArgument(
                "neither path is in the volume", hint='Write ":/path" for a path in the volume.'
            )
        place = self._place_of(source, target, into)
        for below, is_folder in self._tree(source):
            one = f"{source.rstrip('/')}/{below}" if below else source
            other = f"{place.rstrip('/')}/{below}" if below else place
            if is_folder:
                self._make_folder(other)
                continue
            self._copied.files += 1
            if below and self._is_link(one):
                self._copy_link(one, other)
            else:
                self._copy_file(one, other)

    def _copy_file(self, source: str, target: str) -> None:
        if target.startswith(":"):
            if source.startswith(":"):
                self.told(Volume.over(self._client).copy(inside(source), inside(target)))
            else:
                _demand_file(Path(source))
                self._client.upload(Path(source), inside(target), progress=self.told)
            return
        local = Path(target)
        draft = Path(draft_of(str(local)))
        try:
            self._client.download(inside(source), draft, progress=self.told)
            draft.rename(local)
        finally:
            draft.unlink(missing_ok=True)

    def _copy_link(self, source: str, target: str) -> None:
        """Make the same symbolic link, in place of a file or a link."""
        if source.startswith(":"):
            leads_to = self._client.readlink(inside(source))
        else:
            leads_to = os.readlink(source)
        if target.startswith(":"):
            if Volume.over(self._client).lexists(inside(target)):
                self._client.remove(inside(target))
            self._client.symlink(leads_to, inside(target))
        else:
            Path(target).unlink(missing_ok=True)
            os.symlink(leads_to, target)

    def _is_link(self, path: str) -> bool:
        if path.startswith(":"):
            return Volume.over(self._client).is_symlink(inside(path))
        return os.path.islink(path)

    def _place_of(self, source: str, target: str, into: bool) -> str:
        """Return where the source itself goes: a folder that is there takes it inside."""
        is_folder = self._is_folder(target)
        if not is_folder and (into or target.rstrip(":").endswith("/")):
            raise NotFound(f"{target} is not a folder", hint="Make it first: roost mkdir -p …")
        if not is_folder:
            return target
        name = os.path.basename(source.removeprefix(":").rstrip("/"))
        return f"{target.rstrip('/')}/{name}" if name else target

    def _is_folder(self, path: str) -> bool:
        if not path.startswith(":"):
            return Path(path).is_dir()
        return self._client.exists(inside(path)) and self._client.stat(inside(path)).is_directory

    def _tree(self, source: str) -> Iterator[tuple[str, bool]]:
        """Yield (path below `source`, is a folder), folders first; "" is `source` itself."""
        if not self._is_folder(source):
            yield "", False
            return
        if not self._recursive:
            raise InvalidArgument(f"{source} is a folder", hint="Use -r to copy folders.")
        root = inside(source) if source.startswith(":") else source
        walk = self._client.walk(root) if source.startswith(":") else _walk(root)
        for folder, _, names in walk:
            below = os.path.relpath(folder, root)
            below = "" if below == "." else below
            yield below, True
            for name in names:
                yield f"{below}/{name}".lstrip("/"), False

    def _make_folder(self, path: str) -> None:
        if path.startswith(":"):
            if inside(path) != "/":
                self._client.mkdir(inside(path), exist_ok=True)
        else:
            Path(path).mkdir(exist_ok=True)


def _walk(root: str) -> Iterator[tuple[str, list[str], list[str]]]:
    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=fail):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        yield folder, folders, [*names, *links]


def _demand_file(path: Path) -> None:
    """Raise InvalidArgument for a pipe or a device: to read one may take for ever."""
    if path.exists() and not path.is_file():
        raise InvalidArgument(f"{path} is no regular file", hint="Copy the others without it.")


def _copy_by_the_system(sources: list[str], target: str, recursive: bool, copied: _Copied) -> None:
    def copy(source: str | os.PathLike[str], place: str | os.PathLike[str]) -> object:
        made = shutil.copy2(source, place)
        copied.files += 1
        copied.bytes += os.stat(made).st_size
        return made

    if len(sources) > 1 and not Path(target).is_dir():
        raise NotFound(f"{target} is not a folder")
    for source in sources:
        path, place = Path(source), Path(target)
        if place.is_dir():
            place /= path.name
        if not path.is_dir():
            copy(path, place)
        elif recursive:
            shutil.copytree(path, place, symlinks=True, copy_function=copy, dirs_exist_ok=True)
        else:
            raise InvalidArgument(f"{source} is a folder", hint="Use -r to copy folders.")


def _progress(quiet: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("copied"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )


def _teller(bar: Progress, copied: _Copied) -> Told:
    """Return what adds bytes to the bar, from any thread."""
    task = bar.add_task("copy", total=None)
    lock = threading.Lock()

    def tell(size_bytes: int) -> None:
        with lock:
            copied.bytes += size_bytes
            bar.advance(task, size_bytes)

    return tell


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cp")(with_data_options(cp))
