"""`roost sync`: make one place like another; directories, volumes and buckets."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from typer.core import TyperCommand

from roost.cli.data_options import DataPath, with_data_options
from roost.cli.output import complain, plain_errors, show_json
from roost.cli.paths import JsonOption
from roost.errors import Failure, InvalidArgument
from roost.sizes import format_size, parse_size
from roost.volume.sync.checkpoint import Checkpoint, identity_of
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.options import THREADS_DEFAULT, Options, Selection
from roost.volume.sync.places import Manner, open_file_or_folder, open_place
from roost.volume.sync.rules import Rule
from roost.volume.sync.runner import Job, Sync
from roost.volume.sync.steps import Step
from roost.volume.sync.tally import Counts, Tally
from roost.volume.sync.words import duration_s, local_time_ns, megabits

RULES = "roost.sync.rules"
_ERRORS_SHOWN_MAX = 20
_NS = 1_000_000_000


class OrderedRules(TyperCommand):
    """Remembers in which order --include and --exclude were given: the first that matches wins."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As click, which some releases of typer carry inside; the rules are left in `ctx.meta`."""
        rules: list[tuple[str, bool]] = []
        rest = iter(args)
        for arg in rest:
            if arg == "--":
                break
            flag, equals, value = arg.partition("=")
            if flag in ("--include", "--exclude"):
                rules.append((value if equals else next(rest, ""), flag == "--include"))
        ctx.meta[RULES] = rules
        return super().parse_args(ctx, args)


class _Report:
    """Shows progress, and what went wrong; `Watcher` of the sync."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)
        self._shown = 0

    def planned(self, step: Step) -> None:
        """As in Watcher: on standard error, so that --json stays alone on standard output."""
        complain(f"would {'delete target' if step.source is None else step.verb.value}: {step.key}")

    def failed(self, key: str, error: Exception) -> None:
        """As in Watcher."""
        self._shown += 1
        if self._shown <= _ERRORS_SHOWN_MAX:
            complain(f"failed: {key}: {error}")
        elif self._shown == _ERRORS_SHOWN_MAX + 1:
            complain("further failures are only counted")

    def moved(self, tally: Tally) -> None:
        """As in Watcher."""
        self._bar.update(self._task, description=_line(tally.counts()))


def sync(
    ctx: typer.Context,
    src: Annotated[str, typer.Argument(metavar="SRC", help="Where from.")],
    dst: Annotated[str, typer.Argument(metavar="DST", help="Where to.")],
    start: Annotated[str, typer.Option("--start", "-s", help="The first key.")] = "",
    end: Annotated[str, typer.Option("--end", "-e", help="The last key.")] = "",
    include: Annotated[
        list[str] | None, typer.Option(help="Keep keys like PATTERN; the first rule decides.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out keys like PATTERN.")] = None,
    match_full_path: Annotated[
        bool, typer.Option("--match-full-path", help="Match whole paths, not folder by folder.")
    ] = False,
    max_size: Annotated[str, typer.Option(help="Leave out larger files.")] = "",
    min_size: Annotated[str, typer.Option(help="Leave out smaller files.")] = "",
    max_age: Annotated[str, typer.Option(help="Leave out files changed longer ago.")] = "",
    min_age: Annotated[str, typer.Option(help="Leave out files changed more recently.")] = "",
    start_time: Annotated[str, typer.Option(help="Leave out files changed before.")] = "",
    end_time: Annotated[str, typer.Option(help="Leave out files changed after.")] = "",
    limit: Annotated[int, typer.Option(help="Handle so many keys; -1 is all.")] = -1,
    update: Annotated[
        bool, typer.Option("--update", "-u", help="Replace what is older, whatever its size.")
    ] = False,
    force_update: Annotated[
        bool, typer.Option("--force-update", "-f", help="Replace what is there.")
    ] = False,
    existing: Annotated[
        bool, typer.Option("--existing", "--ignore-non-existing", help="Make nothing new.")
    ] = False,
    ignore_existing: Annotated[
        bool, typer.Option("--ignore-existing", help="Replace nothing.")
    ] = False,
    files_from: Annotated[
        Path | None, typer.Option(help="Sync the files and folders listed in this file.")
    ] = None,
    dirs: Annotated[bool, typer.Option("--dirs", help="Folders too, empty ones as well.")] = False,
    perms: Annotated[bool, typer.Option("--perms", help="Keep modes and owners.")] = False,
    links: Annotated[
        bool, typer.Option("--links", "-l", help="Copy symbolic links as links.")
    ] = False,
    inplace: Annotated[
        bool, typer.Option("--inplace", help="Write files where they are, not whole or nothing.")
    ] = False,
    delete_src: Annotated[
        bool, typer.Option("--delete-src", "--deleteSrc", help="Delete at SRC what DST has.")
    ] = False,
    delete_src_after: Annotated[
        bool, typer.Option("--delete-src-after", help="Delete at SRC what was copied.")
    ] = False,
    delete_dst: Annotated[
        bool, typer.Option("--delete-dst", "--deleteDst", help="Delete at DST what SRC lacks.")
    ] = False,
    check_all: Annotated[
        bool, typer.Option("--check-all", help="Compare the bytes of all files.")
    ] = False,
    check_new: Annotated[
        bool, typer.Option("--check-new", help="Compare the bytes of copied files.")
    ] = False,
    check_change: Annotated[
        bool, typer.Option("--check-change", help="Fail files that change while they are copied.")
    ] = False,
    max_failure: Annotated[int, typer.Option(help="Stop at so many failures; -1 is never.")] = -1,
    dry: Annotated[bool, typer.Option("--dry", help="Only say what would be done.")] = False,
    enable_checkpoint: Annotated[
        bool, typer.Option("--enable-checkpoint", help="Go on where a stopped run was.")
    ] = False,
    checkpoint_force_reset: Annotated[
        bool, typer.Option("--checkpoint-force-reset", help="Forget where it was.")
    ] = False,
    checkpoint_interval: Annotated[str, typer.Option(help="How often to note it.")] = "10s",
    threads: Annotated[
        int, typer.Option("--threads", "-p", help="Copies at a time.")
    ] = THREADS_DEFAULT,
    bwlimit: Annotated[str, typer.Option(help="Megabits per second; 0 is no limit.")] = "0",
    no_https: Annotated[bool, typer.Option("--no-https", help="Reach buckets over HTTP.")] = False,
    storage_class: Annotated[str, typer.Option(help="Storage class of new objects.")] = "",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
    as_json: JsonOption = False,
    *,
    data: DataPath,
) -> None:
    """Make DST like SRC: copy what it lacks or has otherwise; delete only if told to.

    SRC and DST are paths, jfs://VOLUME/path, or buckets such as s3://KEY:SECRET@HOST/BUCKET/path;
    end both in "/", or neither.  VOLUME is an environment variable with the metadata URL.

    Example: photos=redis://localhost/1 roost sync --dirs /srv/photos/ jfs://photos/
    """
    with plain_errors():
        _check_ends(src, dst)
        selection = Selection(
            start=start,
            end=end,
            rules=_rules(ctx),
            match_full_path=match_full_path,
            size_bytes_min=_size(min_size, "--min-size"),
            size_bytes_max=_size(max_size, "--max-size"),
            newer_than_ns=_time(max_age, start_time, latest=True),
            older_than_ns=_time(min_age, end_time, latest=False),
        )
        options = Options(
            update=update,
            force_update=force_update,
            existing=existing,
            ignore_existing=ignore_existing,
            dirs=dirs,
            perms=perms,
            links=links,
            inplace=inplace,
            delete_src=delete_src,
            delete_src_after=delete_src_after,
            delete_dst=delete_dst,
            check_all=check_all,
            check_new=check_new,
            check_change=check_change,
            dry=dry,
            limit=None if limit < 0 else limit,
            failures_max=None if max_failure < 0 else max_failure,
            threads=threads,
            bandwidth_mbps=megabits(bwlimit),
        )
        _check_stored(options, writeback=data.settings.writeback)
        manner = Manner(
            durable=options.must_be_durable or enable_checkpoint,
            https=not no_https,
            storage_class=storage_class,
            cache_dir=data.cache_dir,
            data=data.settings,
        )
        with _places(src, dst, options, manner) as (source, target):
            checkpoint = None
            if enable_checkpoint:
                listed = str(files_from.absolute()) if files_from else ""
                checkpoint = Checkpoint(source, target, identity_of(selection, options, listed))
                if checkpoint_force_reset and not dry:
                    checkpoint.remove()
            job = Job(
                source,
                target,
                selection,
                options,
                None if files_from is None else lambda: _lines(files_from),
                checkpoint,
                duration_s(checkpoint_interval),
            )
            counts = _run(job, quiet or as_json)
        _show(counts, as_json, dry)


def _run(job: Job, quiet: bool) -> Counts:
    console = Console(stderr=True)
    shown = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    with shown as bar:
        run = Sync(job, _Report(bar))
        if run.is_resumed:
            complain("going on where an earlier run was")
        return run.run()


def _show(counts: Counts, as_json: bool, dry: bool) -> None:
    if as_json:
        show_json({**asdict(counts), "dry": dry})
    else:
        typer.echo(("would have done: " if dry else "") + _line(counts))
    if counts.failed:
        raise Failure(
            f"{counts.failed} keys could not be synced",
            hint="Run the same command again; what is done is not done twice.",
        )


def _line(counts: Counts) -> str:
    words = [f"found {counts.found}"]
    for word in ("excluded", "skipped", "copied", "extra", "checked"):
        count = getattr(counts, word)
        if count or word == "copied":
            words.append(f"{word} {count} ({format_size(getattr(counts, word + '_bytes'))})")
    words += [
        f"{w} {getattr(counts, w)}" for w in ("deleted", "failed", "absent") if getattr(counts, w)
    ]
    return ", ".join(words)


@contextlib.contextmanager
def _places(
    src: str, dst: str, options: Options, manner: Manner
) -> Iterator[tuple[Endpoint, Endpoint]]:
    """Open both sides; a source that nothing is deleted from is opened for reading only."""
    reading = Manner(
        read_only=not options.must_be_durable,
        https=manner.https,
        cache_dir=manner.cache_dir,
        data=manner.data,
    )
    writing = Manner(
        read_only=options.dry,
        durable=manner.durable,
        https=manner.https,
        storage_class=manner.storage_class,
        cache_dir=manner.cache_dir,
        data=manner.data,
    )
    with contextlib.ExitStack() as closing:
        name = ""
        if src.endswith("/"):
            source = open_place(src, reading)
        else:
            source, name = open_file_or_folder(src, reading)
        closing.callback(source.close)
        if name:
            target, _ = open_file_or_folder(dst, writing, name)
        else:
            target = open_place(dst.rstrip("/") + "/", writing)
        closing.callback(target.close)
        yield source, target


def _check_ends(src: str, dst: str) -> None:
    if src.endswith("/") != dst.endswith("/"):
        raise InvalidArgument(
            'SRC and DST must both end in "/", or neither',
            hint='With "/" what is in the folders is synced.',
        )


def _check_stored(options: Options, *, writeback: bool) -> None:
    """Raise InvalidArgument if a source could be deleted while its copy waits on this host."""
    if options.must_be_durable and writeback:
        raise InvalidArgument(
            "--writeback with --delete-src or --delete-src-after could lose the last copy:"
            " what waits on this host's disk is not stored yet",
            hint="Leave out --writeback.",
        )


def _rules(ctx: typer.Context) -> tuple[Rule, ...]:
    given: list[tuple[str, bool]] = ctx.meta.get(RULES, [])
    return tuple(Rule(pattern, include) for pattern, include in given)


def _size(text: str, flag: str) -> int | None:
    if not text:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise InvalidArgument(f"{flag}: {error}", hint='Write it as "4M" or "10 GiB".') from error


def _time(age: str, moment: str, *, latest: bool) -> int | None:
    """Return the limit that an age and a time set together, in unix nanoseconds."""
    limits = [local_time_ns(moment)] if moment else []
    if age:
        limits.append(time.time_ns() - round(duration_s(age) * _NS))
    if not limits:
        return None
    return max(limits) if latest else min(limits)


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        yield from file


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sync", cls=OrderedRules)(with_data_options(sync))
