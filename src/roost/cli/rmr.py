"""`roost rmr`: remove whole trees, fast."""

import os
from typing import Annotated

import typer

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, VolumeOption, demanded, inside, open_volume
from roost.cli.progress import counting
from roost.errors import InvalidArgument
from roost.volume.client import VolumeClient
from roost.volume.meta.answers import Progress, RemoveOptions
from roost.volume.model import Caller


def rmr(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="What to remove.")],
    meta: VolumeOption = None,
    skip_trash: Annotated[
        bool, typer.Option("--skip-trash", help="Delete for good at once (as root).")
    ] = False,
    threads: Annotated[
        int, typer.Option("-p", "--threads", help="Commits at a time.", min=1, max=255)
    ] = 50,
    as_json: JsonOption = False,
) -> None:
    """Remove files and folders with all in them, many names in one commit.

    Example: roost rmr --meta redis://localhost/1 /tmp/build /old
    """
    removed: dict[str, int] = {}
    with plain_errors():
        url = demanded(meta, "rmr works", "rmr --meta redis://localhost/1 /old")
        if skip_trash and os.geteuid() != 0:
            raise InvalidArgument("only root may skip the trash")
        with open_volume(url, read_only=False) as client:
            for path in paths:
                with counting(path) as progress:
                    removed[path] = _remove(client, path, skip_trash, threads, progress)
    if as_json:
        show_json(removed)
    else:
        for path, count in removed.items():
            typer.echo(f"{path}: {count:,} removed")


def _remove(
    client: VolumeClient, path: str, skip_trash: bool, threads: int, progress: Progress
) -> int:
    caller = Caller(os.geteuid(), os.getegid(), frozenset(os.getgroups()))
    folder, _, name = inside(path).rstrip("/").rpartition("/")
    if not name:
        raise InvalidArgument("the root of a volume is not removed", hint="Name what is in it.")
    options = RemoveOptions(
        skip_trash=skip_trash,
        threads=threads,
        on_deleted=client.core.remove_data,
        progress=progress,
    )
    parent = client.meta.resolve(folder or "/", caller)
    return client.meta.remove_tree(parent.ino, os.fsencode(name), caller, options=options)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rmr")(rmr)
