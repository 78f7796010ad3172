"""`roost warmup`: fill this host's cache with files before they are read."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from roost.cli.data_options import DataPath, with_data_options
from roost.cli.output import complain, plain_errors, show_json
from roost.cli.paths import JsonOption, MetaOption, demanded, inside, open_volume
from roost.errors import Failure, InvalidArgument
from roost.sizes import format_size
from roost.volume.client import default_cache_dir
from roost.volume.sync.warmup import THREADS_DEFAULT, Action, Warmth, Warmup

_ERRORS_SHOWN_MAX = 20
_FLAGS_OF_BACKGROUND = ("--background", "-b")


def warmup(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH...]", help="Files and folders.")
    ] = None,
    meta: MetaOption = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A file with one path a line.")
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", "-p", help="Files at a time.")
    ] = THREADS_DEFAULT,
    background: Annotated[
        bool, typer.Option("--background", "-b", help="Go on after the command has returned.")
    ] = False,
    evict: Annotated[bool, typer.Option("--evict", help="Remove them from the cache.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what is cached.")] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Keep each file whole, ready to be memory-mapped.")
    ] = False,
    as_json: JsonOption = False,
    *,
    data: DataPath,
) -> None:
    """Fetch files into this host's cache, so that the first reader finds them there.

    Example: roost warmup --meta redis://localhost/1 /models /index
    """
    with plain_errors():
        if evict and check:
            raise InvalidArgument("--evict and --check cannot be used together")
        url = demanded(meta, "warmup works", "warmup --meta redis://localhost/1 /models")
        wanted = [*(paths or ()), *(_listed(file) if file is not None else ())]
        if not wanted:
            raise InvalidArgument("nothing to warm up", hint="Give a path, or -f LIST.")
        if data.in_memory:
            raise InvalidArgument(
                "warmup fills a cache folder, and --cache-dir memory means none",
                hint="Name the folder that the readers use.",
            )
        if background:
            _go_on_alone(data.cache_dir or default_cache_dir())
            return
        action = Action.EVICT if evict else Action.CHECK if check else Action.WARM
        with open_volume(url, read_only=True, data=data) as client:
            run = Warmup(client, action, threads=threads, whole=whole, failed=_Failures())
            with _shown(as_json) as bar:
                warmth = _watched(run, [inside(path) for path in wanted], bar)
        _show(warmth, action, as_json)


class _Failures:
    def __init__(self) -> None:
        self._count = 0

    def __call__(self, path: str, error: Exception) -> None:
        self._count += 1
        if self._count <= _ERRORS_SHOWN_MAX:
            complain(f"failed: {path}: {error}")


def _watched(run: Warmup, paths: list[str], bar: Progress) -> Warmth:
    task = bar.add_task("", total=None)

    def moved(found: Warmth) -> None:
        bar.update(task, description=f"{found.files} files, {format_size(found.size_bytes)}")

    return run.run(paths, moved)


def _show(warmth: Warmth, action: Action, as_json: bool) -> None:
    if as_json:
        show_json(warmth)
    else:
        there = format_size(warmth.size_bytes - warmth.missing_bytes)
        total = format_size(warmth.size_bytes)
        share = f"{there} of {total} ({warmth.cached_share:.1%})"
        words = {
            Action.WARM: f"{warmth.files} files, {total}, are cached; before: {share}",
            Action.EVICT: f"{warmth.files} files are not cached any more; before: {share}",
            Action.CHECK: f"{warmth.files} files checked, {share} cached",
        }
        typer.echo(words[action])
    if warmth.failed:
        raise Failure(f"{warmth.failed} paths failed")


def _listed(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        yield from (line.strip() for line in lines if line.strip())


def _go_on_alone(cache_dir: Path) -> None:
    """Start the same command again, without its terminal; it tells a file how it went."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidArgument(
            f"{cache_dir} can be no cache folder: {error.filename} is not a folder",
            hint="Name the folder that the readers use with --cache-dir.",
        ) from error
    log = cache_dir / "warmup.log"
    arguments = [arg for arg in sys.argv[1:] if arg.partition("=")[0] not in _FLAGS_OF_BACKGROUND]
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-c", "from roost.cli.main import main; main()", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=os.environ,
        )
    complain(f"warming up in process {child.pid}; see {log}")


def _shown(quiet: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("warmup")(with_data_options(warmup))
