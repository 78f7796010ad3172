"""`roost clone`: a copy that shares the data of the original."""

import os
from typing import Annotated

import typer

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, VolumeOption, demanded, inside
from roost.cli.progress import counting
from roost.volume.meta.answers import CloneOptions
from roost.volume.meta.api import open_meta
from roost.volume.model import Caller

UMASK = 0o022  # of a copy that does not keep its mode


def clone(
    source: Annotated[str, typer.Argument(metavar="SRC", help="The file or folder to copy.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="What the copy is to be called.")],
    meta: VolumeOption = None,
    preserve: Annotated[
        bool, typer.Option("-p", "--preserve", help="Keep owner, group, mode and times.")
    ] = False,
    threads: Annotated[
        int, typer.Option("--threads", help="Commits at a time.", min=1, max=255)
    ] = 4,
    as_json: JsonOption = False,
) -> None:
    """Copy a file or a folder inside a volume without copying its data.

    A file is copied as of one moment, a folder file by file.  A folder's copy appears when it is
    complete.

    Example: roost clone -p --meta redis://localhost/1 /datasets/v1 /datasets/v2
    """
    with plain_errors():
        url = demanded(meta, "clone works", "clone --meta redis://localhost/1 /a /b")
    with plain_errors(), open_meta(url) as volume, counting("cloning") as progress:
        caller = Caller(os.geteuid(), os.getegid(), frozenset(os.getgroups()))
        node = volume.resolve(inside(source), caller, follow=False)
        folder, _, name = inside(target).rstrip("/").rpartition("/")
        parent = volume.resolve(folder or "/", caller)
        options = CloneOptions(preserve=preserve, umask=UMASK, threads=threads)
        copy = volume.clone(
            node.ino, parent.ino, os.fsencode(name), caller, options=options, progress=progress
        )
        found = volume.summary(copy.ino, strict=False)
    if as_json:
        show_json({"inode": copy.ino, "files": found.files, "folders": found.directories})
    else:
        typer.echo(f"{found.files:,} files and {found.directories:,} folders cloned")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("clone")(clone)
