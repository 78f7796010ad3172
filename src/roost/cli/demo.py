"""`roost demo`: the article's experiment on the embedded cluster."""

import json
import re
import socket
import tempfile
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from roost.app.data_directory import DataDirectory
from roost.app.processes import Child
from roost.app.supervisor import READY_WAIT_S, Supervisor
from roost.cli.output import plain_errors
from roost.config.settings import Settings
from roost.telemetry import logs

FULL_ROWS, FULL_BATCH_ROWS = 1_000_000, 100_000
QUICK_ROWS, QUICK_BATCH_ROWS = 100_000, 10_000
QUICK_PAUSE_S = (0.1, 0.5)
READ_BYTES = re.compile(r"^roost_object_read_bytes_total (\S+)$", re.MULTILINE)


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="100,000 vectors.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Keep the cluster's data here.", show_default="thrown away"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print demo.json at the end.")] = False,
) -> None:
    """Insert a million real vectors and search them while they arrive.

    Writes demo.json and demo.png to the current directory.

    Example: roost demo --quick
    """
    with plain_errors():
        logs.set_up("ERROR")
        if data is not None:
            _run(data, quick=quick, as_json=as_json)
            return
        with tempfile.TemporaryDirectory(prefix="roost-demo-") as folder:
            _run(Path(folder), quick=quick, as_json=as_json)


def _run(data: Path, *, quick: bool, as_json: bool) -> None:
    from roost.bench import photographs
    from roost.bench.demo import Demo, DemoEvents, DemoSettings
    from roost.bench.plot import draw

    rows = QUICK_ROWS if quick else FULL_ROWS
    settings = (
        DemoSettings(rows, QUICK_BATCH_ROWS, QUICK_PAUSE_S)
        if quick
        else DemoSettings(rows, FULL_BATCH_ROWS)
    )
    console = Console(stderr=as_json)
    with Progress(
        TextColumn("{task.description:34}"),
        BarColumn(),
        TextColumn("{task.completed:,}/{task.total:,}"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("photographs", total=len(photographs.PICTURES))

        def step(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        def batch(number: int, rows_so_far: int, seconds: float, recall: float) -> None:
            progress.console.print(
                f"  batch {number:2}: {rows_so_far:9,} rows, first search {seconds:.4f} s, "
                f"recall@10 {recall:.2f}"
            )

        descriptors = photographs.load(
            rows, progress=lambda done, total, name: step(f"descriptors of {name}", done, total)
        )
        step("starting the cluster", 0, 1)
        supervisor = Supervisor(Settings(data=data, port=0))
        supervisor.start()
        try:
            run = Demo(descriptors, supervisor.uri, settings, DemoEvents(step, batch))
            result = run.run(lambda: _ReaderProcess(supervisor.directory))
            step("drawing", 0, 1)
            draw(result, run, descriptors, Path("demo.png"))
            run.close()
        finally:
            supervisor.stop()
        progress.remove_task(task)
    text = json.dumps(result.as_json(), indent=2)
    Path("demo.json").write_text(text + "\n")
    _print_tables(console, result, exact=descriptors.exact)
    if as_json:
        typer.echo(text)


class _ReaderProcess:
    """A reader of its own port, cache and metrics."""

    def __init__(self, directory: DataDirectory) -> None:
        self._cache = tempfile.TemporaryDirectory(prefix="roost-demo-cache-")
        port, self._metrics_port = _free_port(), _free_port()
        self.uri = f"http://127.0.0.1:{port}"
        arguments = ["serve", "--role", "ro", "--data", str(directory.root)]
        arguments += ["--port", str(port), "--cache", self._cache.name]
        arguments += ["--metrics-port", str(self._metrics_port)]
        self._child = Child("fresh-reader", arguments, directory.logs / "fresh-reader.log")
        self._child.wait_ready(READY_WAIT_S)

    def bytes_read(self) -> int:
        """As in FreshReader."""
        url = f"http://127.0.0.1:{self._metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = READ_BYTES.search(answer.read().decode())
        return 0 if found is None else int(float(found[1]))

    def stop(self) -> None:
        """As in FreshReader."""
        self._child.stop()
        self._cache.cleanup()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _print_tables(console: Console, result: Any, *, exact: bool) -> None:
    from roost.bench.demo import ARTICLE_FIRST_SEARCH_S

    batches = Table(title="First search after each batch")
    for heading in ("batch", "rows so far", "first search (s)", "recall@10"):
        batches.add_column(heading, justify="right")
    count = len(result.first_search_seconds)
    for at in range(count):
        batches.add_row(
            str(at + 1),
            f"{(at + 1) * result.rows // count:,}",
            f"{result.first_search_seconds[at]:.4f}",
            f"{result.first_search_recall_at_10[at]:.2f}",
        )
    console.print(batches)
    figures = Table(show_header=False)
    figures.add_row("first search, average", f"{result.first_search_seconds_mean:.4f} s")
    figures.add_row("  the article's", f"{ARTICLE_FIRST_SEARCH_S:.3f} s")
    figures.add_row("insert", f"{result.insert_rows_per_second:,.0f} rows/s")
    figures.add_row("index ready after the last insert", f"{result.index_seconds:.1f} s")
    figures.add_row("recall@10 of the index", f"{result.recall_at_10:.4f}")
    figures.add_row("queries/s, one client thread", f"{result.search_qps:,.0f}")
    figures.add_row("queries/s, four client threads", f"{result.search_qps_four_threads:,.0f}")
    figures.add_row(
        "fresh reader, process start to answer",
        f"{result.first_search_from_volume_seconds:.2f} s, "
        f"{result.first_search_from_volume_bytes / 1e6:,.0f} MB read",
    )
    console.print(figures)
    if not exact:
        console.print("(This processor rounds some descriptors differently than the known array.)")
    console.print("Written: demo.json, demo.png")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("demo")(demo)
