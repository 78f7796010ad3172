"""`roost bench`: Roost and its peers, alternately, in one run."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from roost.cli.output import plain_errors
from roost.telemetry import logs

app = typer.Typer(help="Measure Roost beside its peers.", no_args_is_help=True)


@app.command("vectors")
def vectors(
    rows: Annotated[int, typer.Option(help="100000 or 1000000 vectors.", min=1000)] = 100_000,
    peer: Annotated[
        list[str] | None, typer.Option(help="milvus-lite or milvus; may be repeated.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Runs of every side.", min=1)] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here.")
    ] = None,
) -> None:
    """Insert, search, index and search again: Roost and its peers in turn.

    Example: roost bench vectors --peer milvus-lite --peer milvus --json vectors.json
    """
    with plain_errors():
        from roost.bench.vectors import measure

        logs.set_up("ERROR")
        console = Console()
        with console.status("…") as status:
            report = measure(rows, tuple(peer or ()), rounds, status.update)
        sides = [side for side in report.versions]
        table = Table(title=f"vectors, {rows:,} rows of 128 floats")
        table.add_column("name")
        for side in sides:
            table.add_column(f"{side} {report.versions[side]}", justify="right")
        for side in sides[1:]:
            table.add_column(f"roost / {side}", justify="right")
        for row in report.rows:
            values = [f"{row.values[side]:,.3f} {row.unit}" for side in sides]
            ratios = [row.ratio("roost", side) for side in sides[1:]]
            shown = ["" if ratio is None else f"{ratio:.2f} times" for ratio in ratios]
            table.add_row(row.name, *values, *shown)
        console.print(table)
        for name in report.left_out:
            console.print(f"Left out, not installed: {name}")
        if json_file is not None:
            report.write(json_file)


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="bench")
