"""`roost restore`: put back what lies in the trash."""

import os
from typing import Annotated

import typer

from roost.cli.output import complain, plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument
from roost.cli.progress import counting
from roost.errors import InvalidArgument, Refusal
from roost.volume.meta.answers import TrashRestored
from roost.volume.meta.api import open_meta


def restore(
    meta_url: MetaArgument,
    hours: Annotated[
        list[str],
        typer.Argument(metavar="HOUR...", help="Hours of deletion in UTC: YYYY-MM-DD-HH."),
    ],
    put_back: Annotated[
        bool,
        typer.Option("--put-back", help="Move what was restored into its original folder."),
    ] = False,
    threads: Annotated[
        int, typer.Option("--threads", help="Entries at a time.", min=1, max=255)
    ] = 10,
    as_json: JsonOption = False,
) -> None:
    """Rebuild the trees that lie in hours of the trash, and put them back where they were.

    Without --put-back the trees are made whole inside the trash.  Nothing is replaced.  Exit code 2
    if something could not be restored.

    Example: roost restore redis://localhost/1 2026-11-23-03 --put-back
    """
    done: dict[str, TrashRestored] = {}
    with plain_errors():
        if os.geteuid() != 0:
            raise InvalidArgument("only root can restore files from the trash")
        with open_meta(meta_url) as meta:
            for hour in hours:
                with counting(hour) as progress:
                    done[hour] = meta.restore(
                        os.fsencode(hour), put_back=put_back, threads=threads, progress=progress
                    )
    if as_json:
        show_json(done)
    else:
        for hour, one in done.items():
            _show(hour, one)
    if any(one.conflicts or one.failed for one in done.values()):
        raise typer.Exit(Refusal.exit_code)


def _show(hour: str, one: TrashRestored) -> None:
    typer.echo(f"{hour}: {one.restored:,} restored")
    if one.waiting:
        typer.echo(f"{hour}: {one.waiting:,} have no folder in this hour; use --put-back")
    for entry in one.conflicts:
        complain(f"not restored, its name is taken: {os.fsdecode(entry)}")
    for entry, why in one.failed:
        complain(f"not restored: {os.fsdecode(entry)}: {why}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("restore")(restore)
