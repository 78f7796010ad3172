"""`roost cat`: the bytes of files."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.data_options import DataPath, with_data_options
from roost.cli.output import plain_errors
from roost.cli.paths import MetaOption, inside, located, naming
from roost.sizes import MIB

_PIECE_BYTES = 4 * MIB


def cat(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files.")],
    meta: MetaOption = None,
    *,
    data: DataPath,
) -> None:
    """Write the bytes of files to standard output.

    Example: roost cat --meta sqlite3:///srv/photos.db /notes.txt
    """
    with plain_errors():
        where = located(meta, paths)
        if where.place is None:
            for path in paths:
                with Path(path).open("rb") as local:
                    while piece := local.read(_PIECE_BYTES):
                        sys.stdout.buffer.write(piece)
        else:
            with where.open(read_only=True, data=data) as client:
                for path in where.paths:
                    with naming(inside(path)), client.open_file(inside(path)) as file:
                        while piece := file.read(_PIECE_BYTES):
                            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cat")(with_data_options(cat))
