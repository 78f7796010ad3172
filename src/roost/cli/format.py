"""`roost format`: make a volume."""

from typing import Annotated

import typer

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument
from roost.volume.formatting import NewVolume, make_volume


def format_(
    meta_url: MetaArgument,
    name: Annotated[str, typer.Argument(help="Name of the volume: 3 to 63 of a-z, 0-9 and -.")],
    storage: Annotated[str, typer.Option(help="Object storage: file.")] = "file",
    bucket: Annotated[str, typer.Option(help="Directory (or bucket URL) for the objects.")] = (
        "/var/lib/roost/objects"
    ),
    block_size: Annotated[int, typer.Option(help="KiB per block, 64 to 16384.")] = 4096,
    compression: Annotated[
        str, typer.Option("--compress", "--compression", help="none, lz4 or zstd.")
    ] = "none",
    trash_days: Annotated[int, typer.Option(help="Days a deleted file stays in .trash.")] = 1,
    capacity: Annotated[int, typer.Option(help="Limit of the volume in GiB; 0 is none.")] = 0,
    inodes: Annotated[int, typer.Option(help="Limit of the number of files; 0 is none.")] = 0,
    shards: Annotated[
        int, typer.Option(help="Spread over this many buckets; --bucket then holds one %d.")
    ] = 0,
    hash_prefix: Annotated[
        bool, typer.Option("--hash-prefix", help="Begin object names with a hash.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Use a bucket that already holds objects of that name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a volume: prove the bucket by a write and a read, then write its settings.

    Example: roost format sqlite3:///srv/photos.db photos --bucket /srv/objects --compress lz4
    """
    new = NewVolume(
        name=name,
        storage=storage,
        bucket=bucket,
        block_kib=block_size,
        compression=compression,
        trash_days=trash_days,
        capacity_gib=capacity,
        inodes=inodes,
        shards=shards,
        hash_prefix=hash_prefix,
    )
    with plain_errors():
        made = make_volume(meta_url, new, force=force)
    if as_json:
        show_json({"name": made.name, "uuid": made.uuid, "bucket": made.bucket})
    else:
        typer.echo(f"volume {made.name} ({made.uuid}) is ready in {made.bucket}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("format")(format_)
