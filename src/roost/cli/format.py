"""`roost format`: make a volume, or change what may change about one that exists."""

from pathlib import Path
from typing import Annotated

import typer

from roost.cli.config import settle
from roost.cli.output import complain, plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument
from roost.cli.storage_options import (
    AccessKeyOption,
    CapacityOption,
    InodesOption,
    SecretKeyOption,
    SessionTokenOption,
    StorageClassOption,
    StorageOption,
    TagOption,
    TrashDaysOption,
    if_given,
    read_key,
    size_in,
)
from roost.clock import SystemClock
from roost.sizes import KIB
from roost.volume.configuring import read_stored
from roost.volume.errors import NotFormatted
from roost.volume.formatting import NewVolume, make_volume
from roost.volume.meta.opening import open_engine
from roost.volume.setting_change import SettingsChange
from roost.volume.settings import VolumeSettings, new_settings

_BUCKET = "/var/lib/roost/objects"


def format_(
    context: typer.Context,
    meta_url: MetaArgument,
    name: Annotated[str, typer.Argument(help="Name of the volume: 3 to 63 of a-z, 0-9 and -.")],
    storage: StorageOption = "file",
    bucket: Annotated[str, typer.Option(help="Bucket URL, or a directory.")] = _BUCKET,
    access_key: AccessKeyOption = "",
    secret_key: SecretKeyOption = "",
    session_token: SessionTokenOption = "",
    storage_class: StorageClassOption = "",
    tag: TagOption = "",
    block_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Of a block in KiB, or as 4M; 64 KiB to 16 MiB.")
    ] = "4M",
    compression: Annotated[
        str, typer.Option("--compress", "--compression", help="none, lz4 or zstd.")
    ] = "none",
    encrypt_rsa_key: Annotated[
        Path | None,
        typer.Option(help="RSA private key (PEM); JFS_RSA_PASSPHRASE holds its passphrase."),
    ] = None,
    encrypt_algo: Annotated[
        str, typer.Option(help="aes256gcm-rsa or chacha20-rsa.")
    ] = "aes256gcm-rsa",
    trash_days: TrashDaysOption = 1,
    capacity: CapacityOption = "0",
    inodes: InodesOption = 0,
    shards: Annotated[
        int, typer.Option(help="Spread over this many buckets; --bucket then holds one %d.")
    ] = 0,
    hash_prefix: Annotated[
        bool, typer.Option("--hash-prefix", help="Begin object names with a hash.")
    ] = False,
    enable_acl: Annotated[
        bool, typer.Option("--enable-acl", help="POSIX ACLs; cannot be undone.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Use a bucket that already holds objects of that name.")
    ] = False,
    no_update: Annotated[
        bool, typer.Option("--no-update", help="Leave a volume that exists as it is.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a volume: prove the bucket by a write and a read, then write its settings.

    On a volume that exists, only the options given are changed, as `roost config` does.

    Example: roost format redis://localhost/1 photos --storage s3
    --bucket https://photos.s3.us-east-2.amazonaws.com
    """
    with plain_errors():
        new = NewVolume(
            name=name,
            storage=storage,
            bucket=bucket,
            access_key=access_key,
            secret_key=secret_key,
            session_token=session_token,
            storage_class=storage_class,
            tag=tag,
            block_kib=size_in(block_size, "K", "--block-size") // KIB,
            compression=compression,
            encrypt_key=read_key(encrypt_rsa_key),
            encrypt_algo=encrypt_algo,
            trash_days=trash_days,
            capacity_bytes=size_in(capacity, "G", "--capacity"),
            inodes=inodes,
            shards=shards,
            hash_prefix=hash_prefix,
            enable_acl=enable_acl,
        )
        made = _made_before(meta_url)
        if made is None:
            made = make_volume(meta_url, new, force=force)
        elif not no_update:
            settle(meta_url, _change(context, new), yes=force, force=force, quiet=True)
            made = read_stored(meta_url)
        for note in _notes(meta_url):
            complain(f"warning: {note}")
    if as_json:
        show_json({"name": made.name, "uuid": made.uuid, "bucket": made.bucket})
    else:
        typer.echo(f"volume {made.name} ({made.uuid}) is ready in {made.bucket}")


def _notes(meta_url: str) -> tuple[str, ...]:
    """Return what a person should know of the database, as `roost status` says it."""
    engine = open_engine(meta_url, SystemClock(), read_only=True)
    try:
        return engine.notes
    finally:
        engine.close()


def _made_before(meta_url: str) -> VolumeSettings | None:
    try:
        return read_stored(meta_url)
    except NotFormatted:
        return None


def _change(context: typer.Context, new: NewVolume) -> SettingsChange:
    """Return what the command line asks of a volume that exists; its name is always asked."""
    rounded = new_settings(new.name, block_kib=new.block_kib)
    return SettingsChange(
        storage=if_given(context, "storage", new.storage),
        bucket=if_given(context, "bucket", new.bucket),
        access_key=if_given(context, "access_key", new.access_key),
        secret_key=if_given(context, "secret_key", new.secret_key),
        session_token=if_given(context, "session_token", new.session_token),
        storage_class=if_given(context, "storage_class", new.storage_class),
        tag=if_given(context, "tag", new.tag),
        capacity_bytes=if_given(context, "capacity", new.capacity_bytes),
        inodes=if_given(context, "inodes", new.inodes),
        trash_days=if_given(context, "trash_days", new.trash_days),
        enable_acl=if_given(context, "enable_acl", new.enable_acl),
        name=new.name,
        block_kib=if_given(context, "block_size", rounded.block_kib),
        compression=if_given(context, "compression", new.compression),
        shards=if_given(context, "shards", new.shards),
        hash_prefix=if_given(context, "hash_prefix", new.hash_prefix),
        encrypt_key=if_given(context, "encrypt_rsa_key", new.encrypt_key),
        encrypt_algo=if_given(context, "encrypt_algo", new.encrypt_algo),
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("format")(format_)
