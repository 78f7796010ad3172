"""`roost summary`: what the folders of a tree hold, the largest first."""

import csv
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaOption, inside, local_path, open_volume
from roost.cli.progress import counting
from roost.cli.tree_usage import (
    DEPTH_MAX,
    ENTRIES_MAX,
    TreeUsage,
    tree_of_node,
    tree_of_path,
)
from roost.sizes import format_size


def summary(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A folder or file.")],
    meta: MetaOption = None,
    depth: Annotated[
        int,
        typer.Option("--depth", "-d", help="Levels shown; 0: the top only.", min=0, max=DEPTH_MAX),
    ] = 2,
    entries: Annotated[
        int,
        typer.Option(
            "--entries", "-e", help="Entries shown of each folder.", min=1, max=ENTRIES_MAX
        ),
    ] = 10,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Look at every entry; else trust the folders' statistics below."
        ),
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, sizes in bytes.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what the folders of a tree hold: size, folders and files, the largest first.

    Example: roost summary --meta redis://localhost/1 --depth 3 --entries 20 /projects
    """
    with plain_errors(), counting("entries") as progress:
        if meta is None:
            found = tree_of_path(local_path(path), progress).all(depth, entries)
        else:
            with open_volume(meta, read_only=True) as client:
                node = client.node(inside(path), follow=False)
                found = tree_of_node(client.meta, node, strict=strict, progress=progress).all(
                    depth, entries
                )
    found.name = "" if found.is_folder else path
    if as_json:
        show_json(found)
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("PATH", "SIZE", "DIRS", "FILES"))
        writer.writerows(rows(found))
    else:
        table = Table("path", "size", "dirs", "files")
        for name, size, dirs, files in rows(found):
            table.add_row(name, format_size(size), f"{dirs:,}", f"{files:,}")
        Console().print(table)


def rows(top: TreeUsage) -> Iterator[tuple[str, int, int, int]]:
    """Yield (path, size, dirs, files), each folder before what is in it; folders end in "/".

    The top is "/" and paths are told from there, as juicefs does.
    """
    below: list[tuple[str, TreeUsage]] = [("", top)]
    while below:
        prefix, one = below.pop()
        path = f"{prefix}{one.name}/" if one.is_folder else f"{prefix}{one.name}"
        yield path, one.size, one.dirs, one.files
        inner = "" if one is top else path
        below.extend((inner, child) for child in reversed(one.children))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("summary")(summary)
