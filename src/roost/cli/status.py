"""`roost status`: what a volume is, what it uses, and who has it open."""

import json

import typer

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument
from roost.sizes import format_size
from roost.volume.meta.api import Meta, open_meta
from roost.volume.model import Session
from roost.volume.settings import VolumeSettings


def status(meta_url: MetaArgument, as_json: JsonOption = False) -> None:
    """Show settings, use, durability and sessions of a volume.  Secrets are left out.

    Example: roost status sqlite3:///srv/photos.db
    """
    with plain_errors(), open_meta(meta_url, read_only=True) as meta:
        if as_json:
            show_json(_as_json(meta))
        else:
            _as_text(meta)


def _as_json(meta: Meta) -> dict[str, object]:
    usage = meta.statfs()
    return {
        "Setting": _setting(meta.settings),
        "Sessions": [_session(session) for session in meta.sessions()],
        "Statistic": {
            "UsedSpace": usage.used_bytes,
            "AvailableSpace": usage.available_bytes,
            "UsedInodes": usage.used_inodes,
            "AvailableInodes": usage.available_inodes,
        },
        "Durability": meta.durability,
    }


def _as_text(meta: Meta) -> None:
    usage = meta.statfs()
    for name, value in _setting(meta.settings).items():
        typer.echo(f"{name:>16}  {value}")
    typer.echo(f"{'Used':>16}  {format_size(usage.used_bytes)} in {usage.used_inodes} inodes")
    typer.echo(f"{'Available':>16}  {format_size(usage.available_bytes)}")
    typer.echo(f"{'Durability':>16}  survives {meta.durability}")
    sessions = meta.sessions()
    typer.echo(f"{'Sessions':>16}  {len(sessions)}")
    for session in sessions:
        info = _session(session)
        typer.echo(
            f"{info['Sid']:>16}  {info.get('Version', '?')} on {info.get('HostName', '?')}, "
            f"pid {info.get('ProcessID', '?')}, {info.get('MountPoint') or 'in process'}"
        )


def _setting(settings: VolumeSettings) -> dict[str, object]:
    return {
        "Name": settings.name,
        "UUID": settings.uuid,
        "Storage": settings.storage,
        "Bucket": settings.bucket,
        "BlockSize": settings.block_kib,
        "Compression": settings.compression,
        "Shards": settings.shards,
        "HashPrefix": settings.hash_prefix,
        "Capacity": settings.capacity_bytes,
        "Inodes": settings.inodes_max,
        "Encrypted": settings.is_encrypted,
        "TrashDays": settings.trash_days,
    }


def _session(session: Session) -> dict[str, object]:
    try:
        info = json.loads(session.info)
    except ValueError:
        info = {}
    known = info if isinstance(info, dict) else {}
    return {"Sid": session.sid, "Expire": session.expire_s, **known}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)
