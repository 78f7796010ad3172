"""`roost mkdir`: make folders."""

from pathlib import Path
from typing import Annotated

import typer

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaOption, inside, located, naming


def mkdir(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Folders to make.")],
    meta: MetaOption = None,
    parents: Annotated[
        bool, typer.Option("-p", "--parents", help="Those above too; no error if it exists.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make folders.

    Example: roost mkdir -p --meta sqlite3:///srv/photos.db /2026/summer
    """
    with plain_errors():
        where = located(meta, paths)
        if where.place is None:
            for path in paths:
                Path(path).mkdir(parents=parents, exist_ok=parents)
        else:
            with where.open(read_only=False) as client:
                for path in where.paths:
                    with naming(inside(path)):
                        client.mkdir(inside(path), parents=parents, exist_ok=parents)
    if as_json:
        show_json({"made": paths})


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("mkdir")(mkdir)
