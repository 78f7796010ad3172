"""`roost backup`: the metadata of a volume into its bucket, and back as of a moment."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from roost.blob.store import BlobStore
from roost.cli.cycles import cycles_sought_rarely
from roost.cli.output import complain, plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument
from roost.cli.progress import counting
from roost.cli.storage_options import (
    AccessKeyOption,
    SecretKeyOption,
    SessionTokenOption,
    StorageOption,
    read_key,
)
from roost.clock import SystemClock
from roost.errors import Damage, InvalidArgument, RoostError
from roost.sizes import format_size
from roost.volume.settings import VolumeSettings
from roost.volume.storage import volume_store
from roost.volume.sync.words import duration_s
from roost.volume.tools.backup.making import Listed, backups, newest_before
from roost.volume.tools.backup.making import run as make_backup
from roost.volume.tools.backup.restoring import restore as restore_backup
from roost.volume.tools.backup.runs import Manifest
from roost.volume.tools.opened import opened

app = typer.Typer(help="Back up metadata to the bucket, and restore it.", no_args_is_help=True)

NameOption = Annotated[str, typer.Option("--name", help="Name of the volume that was backed up.")]
BucketOption = Annotated[str, typer.Option(help="Bucket URL, or a directory.")]
KeyOption = Annotated[
    Path | None, typer.Option(help="RSA private key (PEM) of an encrypted volume.")
]
_PROBLEMS_SHOWN = 20
_OVERDUE_S = 86400


@app.command("run")
def run(
    meta_url: MetaArgument,
    every: Annotated[
        str, typer.Option(metavar="DURATION", help="Go on, once in this time: 15m, 1h, 1d.")
    ] = "",
    full: Annotated[bool, typer.Option("--full", help="Store everything, not only changes.")] = (
        False
    ),
    keep_days: Annotated[
        int, typer.Option(min=0, help="Remove what only older moments need; 0 keeps all.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Store what changed since the last backup; the first time, everything.

    Example: roost backup run --every 1h --keep-days 30 redis://localhost/1
    """
    with plain_errors():
        pause_s = duration_s(every) if every else 0.0
        if every and pause_s <= 0:
            raise InvalidArgument(f"--every: not a duration: {every!r}")
        while True:
            try:
                _run_once(meta_url, full=full, keep_days=keep_days, as_json=as_json)
            except RoostError as error:
                if not every:
                    raise
                complain(f"error: the backup failed: {error}")  # and the next one is tried
            if not every:
                return
            SystemClock().wait(threading.Event(), pause_s)


def _run_once(meta_url: str, *, full: bool, keep_days: int, as_json: bool) -> None:
    with (
        cycles_sought_rarely(),
        opened(meta_url, read_only=True) as volume,
        counting("rows") as progress,
    ):
        made = make_backup(volume, full=full, keep_days=keep_days, progress=progress)
    if as_json:
        show_json(made)
    else:
        typer.echo(_line(made))


@app.command("list")
def list_(
    meta_url: Annotated[
        str, typer.Argument(metavar="[META-URL]", help="The volume; or say where its bucket is.")
    ] = "",
    name: NameOption = "",
    storage: StorageOption = "file",
    bucket: BucketOption = "",
    access_key: AccessKeyOption = "",
    secret_key: SecretKeyOption = "",
    session_token: SessionTokenOption = "",
    encrypt_rsa_key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all backups and failed runs, oldest first.

    Example: roost backup list redis://localhost/1
    """
    with plain_errors():
        if meta_url:
            with opened(meta_url, read_only=True) as volume:
                found = backups(volume.store)
        else:
            keys = (access_key, secret_key, session_token)
            found = backups(_bucket(name, storage, bucket, keys, encrypt_rsa_key))
    if as_json:
        show_json(found)
        return
    for one in found:
        typer.echo(_line(one.manifest) if one.manifest else f"{one.id}  FAILED: {one.problem}")
    _show_state(found)


def _show_state(found: list[Listed]) -> None:
    sound = [one.manifest for one in found if one.manifest is not None]
    if not sound:
        complain("there is no backup")
        return
    age_s = SystemClock().wall_ns() // 1_000_000_000 - sound[-1].taken_ns // 1_000_000_000
    if age_s > _OVERDUE_S:
        complain(f"the last backup is {age_s // 3600} hours old")
    if found[-1].manifest is None:
        complain("the last run failed")


@app.command("restore")
def restore(
    meta_url: MetaArgument,
    name: NameOption,
    bucket: BucketOption,
    at: Annotated[
        str, typer.Option(metavar="TIME", help="As of then: 2026-11-23T14:00 (local) or …Z.")
    ] = "",
    storage: StorageOption = "file",
    access_key: AccessKeyOption = "",
    secret_key: SecretKeyOption = "",
    session_token: SessionTokenOption = "",
    encrypt_rsa_key: KeyOption = None,
) -> None:
    """Fill the empty database META-URL with the last state at or before TIME.

    Example: roost backup restore redis://localhost/2 --name photos --bucket /srv/objects
    """
    with plain_errors(), cycles_sought_rarely(), counting("rows") as progress:
        keys = (access_key, secret_key, session_token)
        store = _bucket(name, storage, bucket, keys, encrypt_rsa_key)
        manifest = newest_before(store, _moment_ns(at))
        report = restore_backup(meta_url, store, manifest, progress=progress)
    typer.echo(f"restored {report.rows} rows: {_line(manifest)}")
    for problem in report.problems[:_PROBLEMS_SHOWN]:
        complain(f"inode {problem.ino}: {problem.what}")
    if any(problem.fatal for problem in report.problems):
        complain("hint: Look at the volume with roost fsck.")
        raise typer.Exit(Damage.exit_code)


def _bucket(
    name: str, storage: str, bucket: str, keys: tuple[str, str, str], key_file: Path | None
) -> BlobStore:
    if not name or not bucket:
        raise InvalidArgument(
            "which bucket?", hint="Give META-URL, or --name and --bucket of the volume."
        )
    if storage == "file":
        bucket = f"{Path(bucket).expanduser().absolute()}/"
    access_key, secret_key, session_token = keys
    return volume_store(
        VolumeSettings(
            name=name,
            uuid="unknown",
            storage=storage,
            bucket=bucket,
            access_key=access_key,
            secret_key=secret_key,
            session_token=session_token,
            encrypt_key=read_key(key_file),
        )
    )


def _moment_ns(text: str) -> int | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(
            f"not a time: {text!r}", hint="Write 2026-11-23T14:00, or 2026-11-23T14:00Z."
        ) from error
    return round(moment.astimezone(UTC).timestamp() * 1_000_000) * 1000


def _line(one: Manifest) -> str:
    kind = "base  " if one.is_base else "change"
    moment = datetime.fromtimestamp(one.taken_ns / 1e9).astimezone()
    return (
        f"{moment:%Y-%m-%dT%H:%M:%S%z}  {kind}  {one.rows} rows, {one.changes} stored, "
        f"{format_size(one.stored_bytes)}  {one.id}"
    )


def register(main: typer.Typer) -> None:
    """Add the commands."""
    main.add_typer(app, name="backup")
