"""`roost gc` and `roost compact`: objects nobody needs, and chunks in too many pieces."""

from typing import Annotated

import typer

from roost.cli.cycles import cycles_sought_rarely
from roost.cli.output import complain, plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument, demand_url, inside, open_volume
from roost.cli.progress import counting
from roost.errors import Damage, Failure, InvalidArgument
from roost.sizes import format_size
from roost.volume.tools.compacting import CompactReport, compact_paths
from roost.volume.tools.gc import GcOptions, collect_garbage
from roost.volume.tools.gc_report import Counted, GcReport

ThreadsOption = Annotated[
    int, typer.Option("--threads", "-p", min=1, max=200, help="How many at once.")
]
_LISTED = 20


def gc(
    meta_url: MetaArgument,
    compact: Annotated[
        bool, typer.Option("--compact", help="Merge the pieces of all chunks first.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what is found; without it, only look.")
    ] = False,
    threads: ThreadsOption = 10,
    as_json: JsonOption = False,
) -> None:
    """Look for objects that nothing in the volume needs; exit code 3 if a removal failed.

    With --compact alone chunks that are damaged are left, the others merged; the exit code is 4.

    Objects younger than an hour are left alone: they may be of a write under way.  With --delete
    the store is asked what time it is, by a small object that is removed again.

    Example: roost gc --delete redis://localhost/1
    """
    options = GcOptions(compact, delete, threads)
    is_reader = not (compact or delete)
    with (
        plain_errors(),
        cycles_sought_rarely(),
        open_volume(meta_url, read_only=is_reader) as client,
        counting("records") as progress,
    ):
        report = collect_garbage(client, options, progress=progress)
    if as_json:
        show_json(report)
    else:
        _show(report, options)
    compaction = report.compaction or CompactReport()
    if report.damage or compaction.damaged:
        raise typer.Exit(Damage.exit_code)
    if report.failed or compaction.failed:
        raise typer.Exit(Failure.exit_code)


def _show(report: GcReport, options: GcOptions) -> None:
    if report.compaction is not None:
        _show_compaction(report.compaction)
    if report.damage:
        complain(f"nothing else was looked at: {report.damage}")
        complain("hint: `roost fsck META-URL` names all that is damaged.")
        return
    for name, one in (
        ("objects", report.objects),
        ("valid", report.valid),
        ("compacted, kept by the trash", report.compacted),
        ("waiting for removal", report.pending),
        ("leaked", report.leaked),
        ("unknown but younger than an hour", report.young),
    ):
        typer.echo(f"{name}: {_counted(one)}")
    for key in report.leaked_keys[:_LISTED]:
        typer.echo(f"leaked: {key}")
    if report.leaked.count > _LISTED:
        typer.echo(f"leaked: … and {report.leaked.count - _LISTED} more")
    typer.echo(
        f"deleted files: {report.deleted_files}, delayed slices: {report.delayed_slices}, "
        f"unfinished clones: {report.detached_nodes}, lost files' data: {report.lost_chunks}"
    )
    if report.drafts.count:
        typer.echo(f"unfinished files, older than an hour: {_counted(report.drafts)}")
    if report.strange:
        typer.echo(f"{report.strange} objects have names that no block has; they are left alone")
    if options.delete:
        typer.echo(
            f"removed: {_counted(report.deleted)}, {report.slices_removed} old slices, "
            f"{report.drafts_removed} unfinished files"
        )
    elif report.leaked.count or report.drafts.count:
        complain("hint: Remove leaked objects and unfinished files with --delete.")
    if report.miscounted:
        complain(
            f"{report.miscounted} slices count fewer references than there are and are left alone; "
            "`roost fsck META-URL` names them"
        )
    if report.failed:
        complain(f"{report.failed} removals failed and are left for the next time")


def _counted(one: Counted) -> str:
    return f"{one.count} ({format_size(one.bytes)})"


def compact(
    meta_url: MetaArgument,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH...", help="Files or folders.")
    ] = None,
    threads: ThreadsOption = 10,
    as_json: JsonOption = False,
) -> None:
    """Merge the pieces that many small writes left, for faster reading.

    Example: roost compact redis://localhost/1 /logs
    """
    with plain_errors():
        demand_url(meta_url, "compact redis://localhost/1 /logs")
        if not paths:
            raise InvalidArgument("nothing to compact", hint="Name files or folders; / is all.")
    with (
        plain_errors(),
        open_volume(meta_url, read_only=False) as client,
        counting("chunks") as progress,
    ):
        report = compact_paths(
            client, [inside(path) for path in paths], threads=threads, progress=progress
        )
    if as_json:
        show_json(report)
    else:
        _show_compaction(report)
    if report.failed:
        raise typer.Exit(Damage.exit_code if report.damaged else Failure.exit_code)


def _show_compaction(report: CompactReport) -> None:
    typer.echo(
        f"{report.chunks} chunks in several pieces, {report.merged} merged, "
        f"{report.records_gone} pieces fewer"
    )
    for line in report.failures:
        complain(f"not merged: {line}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("gc")(gc)
    app.command("compact")(compact)
