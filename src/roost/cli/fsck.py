"""`roost fsck`: is everything there that the metadata names?"""

from typing import Annotated

import typer

from roost.cli.cycles import cycles_sought_rarely
from roost.cli.output import complain, plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument, inside, open_volume
from roost.cli.progress import counting
from roost.errors import Damage, InvalidArgument
from roost.sizes import format_size
from roost.volume.check import CheckReport, check_volume, paths_of
from roost.volume.model import Ino
from roost.volume.tools.repair import Finding, RepairOptions, look_at

PATHS_MAX = 1000  # files of which the path is looked up


def fsck(
    meta_url: MetaArgument,
    read: Annotated[
        bool, typer.Option("--read", help="Fetch and decode every block, not only its size.")
    ] = False,
    path: Annotated[
        str, typer.Option(help="Only look at this directory, and not at objects.")
    ] = "",
    repair: Annotated[
        bool, typer.Option("--repair", help="Put directories at --path right.")
    ] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Also all directories below --path.")
    ] = False,
    sync_dir_stat: Annotated[
        bool, typer.Option("--sync-dir-stat", help="Correct the statistics of directories.")
    ] = False,
    repair_dir_mode: Annotated[
        str, typer.Option(metavar="OCTAL", help="Mode of directories made anew.")
    ] = "0755",
    as_json: JsonOption = False,
) -> None:
    """Check metadata and objects; exit code 4 if something is damaged.

    Nothing is changed without --repair or --sync-dir-stat.

    Example: roost fsck --read sqlite3:///srv/photos.db
    """
    if path or repair or sync_dir_stat:
        _fsck_directories(
            meta_url,
            RepairOptions(
                path=inside(path or "/"),
                recursive=recursive or not path,
                repair=repair,
                sync_stats=sync_dir_stat,
                mode=_mode(repair_dir_mode),
            ),
            as_json=as_json,
        )
        return
    with (
        plain_errors(),
        cycles_sought_rarely(),
        open_volume(meta_url, read_only=True) as client,
        counting("records and blocks") as progress,
    ):
        report = check_volume(client, read_blocks=read, progress=progress)
        damaged = {ino for one in report.damaged for ino in one.inos}
        wrong = {one.ino for one in report.metadata if one.fatal and one.ino}
        inos = [*sorted(damaged), *sorted(wrong - damaged)][:PATHS_MAX]
        paths = paths_of(client, frozenset(inos), report.named_in)
    if as_json:
        show_json({"clean": report.is_clean, "report": report, "paths": paths})
    else:
        _show(report, paths, read)
    if not report.is_clean:
        raise typer.Exit(Damage.exit_code)


def _show(report: CheckReport, paths: dict[Ino, str], read: bool) -> None:
    done = "read" if read else "found"
    size = format_size(report.blocks_bytes)
    typer.echo(f"{report.slices} slices, {report.blocks} blocks ({size}) {done}")
    for one in report.damaged:
        files = ", ".join(paths.get(ino, f"inode {ino}") for ino in one.inos) or "no file"
        typer.echo(f"damaged: {one.key}: {one.why}; part of {files}")
    for problem in report.metadata:
        kind = "metadata" if problem.fatal else "drift"
        path = f" ({paths[problem.ino]})" if problem.ino in paths else ""
        what = problem.what.removeprefix(f"inode {problem.ino}: ")
        typer.echo(f"{kind}: inode {problem.ino}{path}: {what}")
    unused = (
        "unused object, or one of a record that does not parse"
        if report.unread_count
        else ("unused object")
    )
    for key in report.leaked:
        typer.echo(f"{unused}: {key}")
    for key in report.strange:
        typer.echo(f"object that is no block: {key}")
    for what, shown, count in (
        ("damaged blocks", len(report.damaged), report.damaged_count),
        ("problems of metadata", len(report.metadata), report.metadata_count),
        ("unused objects", len(report.leaked), report.leaked_count),
    ):
        if count > shown:
            typer.echo(f"and {count - shown} more {what}")
    typer.echo("clean" if report.is_clean else "NOT clean")


def _fsck_directories(meta_url: str, options: RepairOptions, *, as_json: bool) -> None:
    changes = options.repair or options.sync_stats
    with (
        plain_errors(),
        open_volume(meta_url, read_only=not changes) as client,
        counting("directories") as progress,
    ):
        found: list[Finding] = list(look_at(client.meta.engine, options, progress))
    if as_json:
        show_json(found)
    for one in () if as_json else found:
        typer.echo(f"{'repaired' if one.repaired else 'damaged'}: inode {one.ino}: {one.what}")
    if not found and not as_json:
        typer.echo("clean")
    left = sum(not one.repaired for one in found)
    if left:
        complain(f"{left} problems are not repaired")
        raise typer.Exit(Damage.exit_code)


def _mode(text: str) -> int:
    with plain_errors():
        try:
            return int(text, 8) & 0o7777
        except ValueError as error:
            raise InvalidArgument(f"not an octal mode: {text!r}") from error


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fsck")(fsck)
