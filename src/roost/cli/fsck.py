"""`roost fsck`: is everything there that the metadata names?"""

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument, open_volume
from roost.errors import Damage
from roost.sizes import format_size
from roost.volume.check import CheckReport, check_volume, paths_of
from roost.volume.model import Ino


def fsck(
    meta_url: MetaArgument,
    read: Annotated[
        bool, typer.Option("--read", help="Fetch and decode every block, not only its size.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check metadata and objects; nothing is changed.  Exit code 4 if something is damaged.

    Example: roost fsck --read sqlite3:///srv/photos.db
    """
    with plain_errors(), open_volume(meta_url, read_only=True) as client, _progress() as bar:
        task = bar.add_task("blocks")
        report = check_volume(
            client,
            read_blocks=read,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        paths = paths_of(client, frozenset(i for d in report.damaged for i in d.inos))
    if as_json:
        show_json({"clean": report.is_clean, "report": report, "paths": paths})
    else:
        _show(report, paths, read)
    if not report.is_clean:
        raise typer.Exit(Damage.exit_code)


def _show(report: CheckReport, paths: dict[Ino, str], read: bool) -> None:
    done = "read" if read else "found"
    size = format_size(report.blocks_bytes)
    typer.echo(f"{report.slices} slices, {report.blocks} blocks ({size}) {done}")
    for one in report.damaged:
        files = ", ".join(paths.get(ino, f"inode {ino}") for ino in one.inos) or "no file"
        typer.echo(f"damaged: {one.key}: {one.why}; part of {files}")
    for problem in report.metadata:
        kind = "metadata" if problem.fatal else "drift"
        typer.echo(f"{kind}: inode {problem.ino}: {problem.what}")
    for key in report.leaked:
        typer.echo(f"unused object: {key}")
    typer.echo("clean" if report.is_clean else "NOT clean")


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fsck")(fsck)
