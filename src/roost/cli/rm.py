"""`roost rm`: remove files and folders."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.output import plain_errors
from roost.cli.paths import MetaOption, inside, located
from roost.errors import InvalidArgument
from roost.volume.client import VolumeClient
from roost.volume.errors import FsError


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
) -> None:
    """Remove files, and with -r folders; into the volume's trash if it has one.

    Example: roost rm -r --meta sqlite3:///srv/photos.db /2025
    """
    with plain_errors():
        where = located(meta, paths)
        if where.place is None:
            if skip_trash:
                raise InvalidArgument("--skip-trash needs --meta")
            for path in paths:
                _remove_path(Path(path), recursive, force)
            return
        with where.open(read_only=False) as client:
            for path in where.paths:
                _remove_in_volume(client, inside(path), recursive, force, skip_trash)


def _remove_path(path: Path, recursive: bool, force: bool) -> None:
    if recursive and path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=force)


def _remove_in_volume(
    client: VolumeClient, path: str, recursive: bool, force: bool, skip_trash: bool
) -> None:
    with contextlib.ExitStack() as stack:
        if force:
            stack.enter_context(_absent_is_fine())
        if recursive:
            client.remove_tree(path, skip_trash=skip_trash)
        elif client.stat(path, follow=False).is_directory:
            raise InvalidArgument(f"{path} is a folder", hint="Use -r to remove folders.")
        else:
            client.remove(path, skip_trash=skip_trash)


@contextlib.contextmanager
def _absent_is_fine() -> Iterator[None]:
    try:
        yield
    except FsError as error:
        if error.errno != errno.ENOENT:
            raise


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rm")(rm)
