"""`roost bench`: Roost and its peers, alternately, in one run; and JuiceFS's bench of a folder."""

import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from roost.cli.data_options import DataPath, with_data_options
from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaOption, inside, local_path, open_volume
from roost.errors import InvalidArgument
from roost.sizes import KIB, MIB, parse_size
from roost.telemetry import logs

if TYPE_CHECKING:
    from roost.bench.report import Report, Row

FOLDER_COMMAND = "folder"
WIDTH_IN_FILES = 200
"""Of a table that is not printed on a terminal."""


class _FolderOrCommand(TyperGroup):
    """`roost bench meta` is a command; `roost bench /mnt/jfs -p 4` is JuiceFS's bench there.

    `ctx` is Any: typer does not export the type that it passes.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_help = bool(args) and args[0] in ("--help", "-h")
        if args and not is_help and args[0] not in self.commands:
            args = [FOLDER_COMMAND, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_FolderOrCommand,
    help="Measure Roost beside its peers; or a folder, as JuiceFS's bench does: "
    "roost bench /mnt/jfs -p 4.",
    no_args_is_help=True,
)
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures here.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", help="Draw the figures here (PNG).")]


@app.command("vectors")
def vectors(
    rows: Annotated[int, typer.Option(help="100000 or 1000000 vectors.", min=1000)] = 100_000,
    peer: Annotated[
        list[str] | None, typer.Option(help="milvus-lite or milvus; may be repeated.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Runs of every side.", min=1)] = 1,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
) -> None:
    """Insert, search, index and search again: Roost and its peers in turn.

    Example: roost bench vectors --peer milvus-lite --peer milvus --json vectors.json
    """
    with plain_errors():
        from roost.bench.vectors import measure

        _run(lambda tell: measure(rows, tuple(peer or ()), rounds, tell), json_file, plot_file)


@app.command("meta")
def meta(
    peer: Annotated[list[str] | None, typer.Option(help="juicefs.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="An engine or a setting, e.g. redis or 'redis rtt=0.5'; repeatable."),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Runs of every side.", min=1)] = 3,
    operations: Annotated[
        int, typer.Option(help="Operations of each kind, per round and side.", min=16)
    ] = 500,
    flush: Annotated[
        bool, typer.Option(help="SQL servers sync each commit to the disk, for both sides.")
    ] = True,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
) -> None:
    """create, mkdir, setattr, rename and unlink, and 16 creators in one directory.

    Redis, MariaDB and PostgreSQL are started for the run, near and behind a proxy that delays.
    Example: roost bench meta --peer juicefs --setting redis --json meta.json --plot meta.png
    """
    with plain_errors():
        from roost.bench.meta import MetaBench, measure

        bench = MetaBench(tuple(peer or ()), tuple(setting or ()), rounds, operations, flush)
        _run(lambda tell: measure(bench, tell), json_file, plot_file)


@app.command("files")
def files(
    peer: Annotated[list[str] | None, typer.Option(help="juicefs.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="Where the large file goes: directory, azurite or s3; repeatable."),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(help="Metadata of the many files: redis, sqlite, mariadb, postgres."),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Runs of every side.", min=1)] = 3,
    size: Annotated[int, typer.Option(help="MiB of the large file; 0 leaves it out.", min=0)] = (
        1024
    ),
    count: Annotated[
        int,
        typer.Option("--files", help="Files under gc, fsck, dump and load; 0: none.", min=0),
    ] = 1_000_000,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
) -> None:
    """write and read of one large file; gc, fsck, dump and load with very many small ones.

    Azurite and an S3 server are started for the run.  The side `store` is the bare store library.
    Example: roost bench files --peer juicefs --files 100000 --json files.json --plot files.png
    """
    with plain_errors():
        from roost.bench.files import FilesBench, measure

        engines = tuple(engine or ("redis",))
        bench = FilesBench(
            tuple(peer or ()), tuple(setting or ()), rounds, size, count, engines=engines
        )
        _run(lambda tell: measure(bench, tell), json_file, plot_file)


@app.command(FOLDER_COMMAND)
@with_data_options
def folder(
    path: Annotated[str, typer.Argument(help="The folder to measure in.")],
    block_size: Annotated[
        str, typer.Option(help="Of one write or read; a plain number is MiB.")
    ] = "1M",
    big_file_size: Annotated[str, typer.Option(help="A plain number is MiB; 0: none.")] = "1G",
    small_file_size: Annotated[str, typer.Option(help="A plain number is KiB.")] = "128K",
    small_file_count: Annotated[int, typer.Option(help="Per thread; 0: none.", min=0)] = 100,
    threads: Annotated[
        int, typer.Option("--threads", "-p", help="Threads, each with its own files.", min=1)
    ] = 1,
    meta: MetaOption = None,
    as_json: JsonOption = False,
    *,
    data: DataPath,
) -> None:
    """JuiceFS's bench of a folder: big and small files, stat.  The word `folder` can be left out.

    A folder that is called like another command is written with a slash: ./meta
    Example: roost bench /mnt/jfs -p 4
    """
    with plain_errors():
        from roost.bench.folder import FolderBench, PathFolder, VolumeFolder, measure

        bench = FolderBench(
            _size(block_size, MIB),
            _size(big_file_size, MIB),
            _size(small_file_size, KIB),
            small_file_count,
            threads,
        )
        with ExitStack() as stack, Console(stderr=True).status("…") as status:
            if meta is None:
                report = measure(PathFolder(local_path(path)), bench, status.update)
            else:
                client = stack.enter_context(open_volume(meta, read_only=False, data=data))
                report = measure(VolumeFolder(client, inside(path)), bench, status.update)
    if as_json:
        show_json(report.as_json())
        return
    table = Table("item", "value", "cost", title=path)
    for value, cost in zip(report.rows[::2], report.rows[1::2], strict=True):
        table.add_row(value.name, _value(value, "roost"), _value(cost, "roost"))
    Console().print(table)


def _size(text: str, unit: int) -> int:
    """Return bytes; a plain number counts units, as in JuiceFS.  Raises InvalidArgument."""
    try:
        return int(text) * unit if text.isdigit() else parse_size(text)
    except ValueError as error:
        raise InvalidArgument(str(error), hint="Write for example 4M, 1G or 128K.") from error


def _run(
    measure: Callable[[Callable[[str], None]], "Report"],
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Measure, with a line that tells what is being done; show and write the report."""
    logs.set_up("ERROR")
    signal.signal(signal.SIGTERM, _stop)  # mounts and servers are to be taken down
    with Console(stderr=True).status("…") as status:
        report = measure(status.update)
    console = Console()
    show(report, console if console.is_terminal else Console(width=WIDTH_IN_FILES))
    if json_file is not None:
        report.write(json_file)
    if plot_file is not None:
        from roost.bench.chart import draw

        draw(report, plot_file)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def show(report: "Report", console: Console) -> None:
    """Print a report as a table."""
    sides = list(report.versions)
    table = Table(title=report.bench)
    for name in ("setting", "name"):
        table.add_column(name)
    for side in sides:
        table.add_column(f"{side} {report.versions[side]}", justify="right")
    for side in sides[1:]:
        table.add_column(f"roost / {side}", justify="right")
    has_how = len(sides) > 1 and any(row.how for row in report.rows)
    if has_how:
        table.add_column("measured")
    shown = ""
    for row in report.rows:
        if shown and row.setting != shown:
            table.add_section()
        setting, shown = ("" if row.setting == shown else row.setting), row.setting
        values = [_value(row, side) for side in sides]
        ratios = [row.ratio("roost", side) for side in sides[1:]]
        times = ["" if ratio is None else f"{ratio:.2f} times" for ratio in ratios]
        table.add_row(setting, row.name, *values, *times, *([row.how] if has_how else []))
    console.print(table)
    for note in report.notes:
        console.print(f"Both sides, {note}", highlight=False)
    for name in report.left_out:
        console.print(f"Left out: {name}", highlight=False)


def _value(row: "Row", side: str) -> str:
    if side not in row.rounds:
        return ""
    figures = row.rounds[side]
    told = f"{row.values[side]:,.{_digits(row.values[side])}f} {row.unit}"
    if len(figures) == 1:
        return told
    low, high = min(figures), max(figures)
    return f"{told} [{low:,.{_digits(low)}f} … {high:,.{_digits(high)}f}]"


def _digits(value: float) -> int:
    return 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 3


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="bench")
