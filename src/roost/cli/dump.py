"""`roost dump` and `roost load`: metadata to and from JuiceFS's JSON."""

from pathlib import Path
from typing import Annotated

import typer

from roost.cli.cycles import cycles_sought_rarely
from roost.cli.output import complain, plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument
from roost.cli.progress import counting
from roost.clock import SystemClock
from roost.errors import Damage, InvalidArgument
from roost.sizes import format_size
from roost.volume.meta.opening import open_engine
from roost.volume.tools.dump import DumpOptions
from roost.volume.tools.dump import dump as write_dump
from roost.volume.tools.dump_files import dump_source, dump_target
from roost.volume.tools.load import load as read_dump

FileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="The dump; .gz is packed. Without it or with -: a pipe."),
]


def dump(
    meta_url: MetaArgument,
    file: FileArgument = None,
    subdir: Annotated[str, typer.Option(help="Only this directory and what is below.")] = "/",
    keep_secret_key: Annotated[
        bool, typer.Option("--keep-secret-key", help="Write secrets too; guard the file.")
    ] = False,
    skip_trash: Annotated[
        bool, typer.Option("--skip-trash", help="Leave out what is in the trash.")
    ] = False,
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged", help="Leave out and name what cannot be read; then exit code 4."
        ),
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="As in JuiceFS; changes nothing, memory stays bounded.")
    ] = False,
    threads: Annotated[
        int, typer.Option(help="As in JuiceFS; changes nothing.", min=1, show_default=False)
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Write the metadata as JSON, as `juicefs dump` does; either client can load it.

    JuiceFS's other form, `juicefs dump --binary`, is neither written nor loaded.

    Example: roost dump redis://localhost/1 photos.json.gz
    """
    with plain_errors():
        if as_json and _place(file) is None:
            raise InvalidArgument(
                "--json tells of the dump where the dump goes", hint="Name a file for the dump."
            )
    options = DumpOptions(subdir, keep_secret_key, skip_trash, skip_damaged)
    with plain_errors(), cycles_sought_rarely(), counting("entries") as progress:
        engine = open_engine(meta_url, SystemClock(), read_only=True)
        try:
            with dump_target(_place(file)) as out:
                report = write_dump(engine, out, options, progress)
        finally:
            engine.close()
    for line in report.damaged:
        complain(f"left out: {line}")
    if as_json:
        show_json({"file": str(file), "report": report})
    complain(f"{report.entries} entries dumped")
    if report.moved:
        complain(f"{report.moved} were moved meanwhile, and stand where they were before")
    if report.damaged:
        raise typer.Exit(Damage.exit_code)


def load(
    meta_url: MetaArgument,
    file: FileArgument = None,
    encrypt_rsa_key: Annotated[
        Path | None, typer.Option(help="The private key (PEM) that the dump was made without.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fill an empty database from a JSON dump of Roost or JuiceFS.

    A binary dump (`juicefs dump --binary`) is refused: dump again without --binary.
    Never use the old database and the new one for the same bucket at once.

    Example: roost load sqlite3:///srv/photos.db photos.json.gz
    """
    place = _place(file)
    with plain_errors(), cycles_sought_rarely(), counting("entries") as progress:
        key = encrypt_rsa_key.read_text() if encrypt_rsa_key is not None else ""
        with dump_source(place) as source:
            report = read_dump(
                meta_url,
                source,
                name=str(place or "standard input"),
                encrypt_key=key,
                progress=progress,
            )
    settings = report.settings
    if as_json:
        names = {"volume": settings.name, "uuid": settings.uuid}
        counts = {"entries": report.entries, "inodes": report.inodes}
        show_json({**names, **counts, "used_space_bytes": report.used_space_bytes})
    else:
        typer.echo(
            f"volume {settings.name} ({settings.uuid}): {report.entries} entries, "
            f"{report.inodes} inodes, {format_size(report.used_space_bytes)} loaded"
        )
    if "removed" in (settings.secret_key, settings.session_token):
        complain("the dump has no secrets: set them with roost config --secret-key")


def _place(file: Path | None) -> Path | None:
    return None if file is None or str(file) == "-" else file


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("dump")(dump)
    app.command("load")(load)
