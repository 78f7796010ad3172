"""`roost rm`: remove files and folders."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaOption, inside, located
from roost.cli.progress import counting
from roost.errors import InvalidArgument
from roost.volume.client import VolumeClient
from roost.volume.errors import FsError
from roost.volume.meta.answers import Progress


def rm(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="What to remove.")],
    meta: MetaOption = None,
    recursive: Annotated[
        bool, typer.Option("-r", "-R", "--recursive", help="Folders with all in them.")
    ] = False,
    force: Annotated[bool, typer.Option("-f", "--force", help="No error if absent.")] = False,
    skip_trash: Annotated[
        bool, typer.Option("--skip-trash", help="Delete for good at once (with --meta).")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove files, and with -r folders; into the volume's trash if it has one.

    Example: roost rm -r --meta sqlite3:///srv/photos.db /2025
    """
    wanted = _Wanted(recursive, force, skip_trash)
    with plain_errors():
        where = located(meta, paths)
        if where.place is None:
            if skip_trash:
                raise InvalidArgument("--skip-trash needs --meta")
            removed = {path: _remove_path(Path(path), wanted, counts=as_json) for path in paths}
        else:
            removed = {}
            with where.open(read_only=False) as client:
                for path in where.paths:
                    with counting(path) as progress:
                        removed[path] = _remove_in_volume(client, inside(path), wanted, progress)
    if as_json:
        show_json(removed)


@dataclass(frozen=True, slots=True)
class _Wanted:
    recursive: bool
    force: bool
    skip_trash: bool


def _remove_path(path: Path, wanted: _Wanted, *, counts: bool) -> int:
    """Return how many names were removed; a folder's are only counted if told to."""
    if not wanted.recursive or path.is_symlink() or not path.is_dir():
        is_there = os.path.lexists(path)
        path.unlink(missing_ok=wanted.force)
        return int(is_there)
    below = sum(len(dirs) + len(files) for _, dirs, files in os.walk(path)) if counts else 0
    with Console(stderr=True).status(f"removing {path}"):
        shutil.rmtree(path)
    return below + 1


def _remove_in_volume(client: VolumeClient, path: str, wanted: _Wanted, progress: Progress) -> int:
    """Return how many names were removed."""
    try:
        if wanted.recursive:
            return client.remove_tree(path, skip_trash=wanted.skip_trash, progress=progress)
        if client.stat(path, follow=False).is_directory:
            raise InvalidArgument(f"{path} is a folder", hint="Use -r to remove folders.")
        client.remove(path, skip_trash=wanted.skip_trash)
    except FsError as error:
        if not wanted.force or error.errno != errno.ENOENT:
            raise
        return 0
    return 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rm")(rm)
