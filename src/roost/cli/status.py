"""`roost status`: what a volume is, what it uses, who has it open, and what to worry about."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import CacheOption, JsonOption, MetaArgument
from roost.cli.progress import counting
from roost.errors import NotFound
from roost.sizes import format_size
from roost.volume.client import default_cache_dir
from roost.volume.meta.answers import Progress
from roost.volume.meta.api import Meta, open_meta
from roost.volume.model import TRASH, Ino, Session, SessionId
from roost.volume.settings import VolumeSettings

_TOLD_EVERY = 1000
STAGING = "staging"
"""Below `<cache>/roost-<UUID>`: where data/staging keeps what is not stored yet."""


def status(
    meta_url: MetaArgument,
    session: Annotated[
        int, typer.Option("--session", "-s", help="Show what this session keeps and locks.", min=0)
    ] = 0,
    more: Annotated[
        bool, typer.Option("--more", "-m", help="Count trash and what is to be removed; slower.")
    ] = False,
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show settings, use, durability, warnings and sessions of a volume.  Secrets are left out.

    Example: roost status redis://localhost/1
    Example: roost status --session 3 sqlite3:///srv/photos.db
    """
    with plain_errors(), open_meta(meta_url, read_only=True) as meta:
        if session:
            shown = _session_details(meta, SessionId(session))
            show_json(shown)
            return
        backlog = staged_backlog(cache_dir or default_cache_dir(), meta.settings.uuid)
        statistics: dict[str, int] = {}
        if more:
            with counting("records") as progress:
                statistics = _more(meta, progress)
        if as_json:
            show_json(_as_json(meta, backlog, statistics))
        else:
            _as_text(meta, backlog, statistics)


def staged_backlog(cache_dir: Path, uuid: str) -> tuple[int, int]:
    """Return (blocks, bytes) of write-back that only this host's disk holds, in a cache folder."""
    blocks = size_bytes = 0
    for path in (cache_dir / f"roost-{uuid}" / STAGING).glob("*/**/*"):
        try:
            if path.is_file():
                blocks, size_bytes = blocks + 1, size_bytes + path.stat().st_size
        except FileNotFoundError:  # stored meanwhile
            continue
    return blocks, size_bytes


def _as_json(meta: Meta, backlog: tuple[int, int], statistics: dict[str, int]) -> dict[str, object]:
    usage = meta.statfs()
    return {
        "Setting": _setting(meta.settings),
        "Sessions": [_session(session) for session in meta.sessions()],
        "Stat": {
            "UsedSpace": usage.used_bytes,
            "AvailableSpace": usage.available_bytes,
            "UsedInodes": usage.used_inodes,
            "AvailableInodes": usage.available_inodes,
            **statistics,
        },
        "Durability": meta.durability,
        "Notes": list(meta.engine.notes),
        "Staged": {"Blocks": backlog[0], "Bytes": backlog[1]},
    }


def _as_text(meta: Meta, backlog: tuple[int, int], statistics: dict[str, int]) -> None:
    usage = meta.statfs()
    for name, value in _setting(meta.settings).items():
        _line(name, value)
    _line("Used", f"{format_size(usage.used_bytes)} in {usage.used_inodes} inodes")
    _line("Available", f"{format_size(usage.available_bytes)}, {usage.available_inodes} inodes")
    for name, number in statistics.items():
        is_size = name.endswith("Size")
        _line(name, format_size(number) if is_size else f"{number:,}")
    _line("Durability", f"survives {meta.durability}")
    if backlog[0]:
        _line("Staged", f"{format_size(backlog[1])} in {backlog[0]} blocks are only on this host")
    for note in meta.engine.notes:
        _line("Warning", note)
    sessions = meta.sessions()
    _line("Sessions", len(sessions))
    for session in sessions:
        info = _session(session)
        _line(
            str(info["Sid"]),
            f"{info.get('Version', '?')} on {info.get('HostName', '?')}, "
            f"pid {info.get('ProcessID', '?')}, {info.get('MountPoint') or 'in process'}, "
            f"lease until {info['Expire']}",
        )


def _line(name: str, value: object) -> None:
    typer.echo(f"{name:>24}  {value}")


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
        "UploadLimit": settings.upload_mbps,
        "DownloadLimit": settings.download_mbps,
        "TrashDays": settings.trash_days,
        "MetaVersion": settings.meta_version,
        "MinClientVersion": settings.min_client_version,
        "MaxClientVersion": settings.max_client_version,
        "DirStats": settings.dir_stats,
        "EnableACL": settings.enable_acl,
    }


def _session(session: Session) -> dict[str, object]:
    try:
        info = json.loads(session.info)
    except ValueError:
        info = {}
    known = info if isinstance(info, dict) else {}
    expires = datetime.fromtimestamp(session.expire_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"Sid": session.sid, "Expire": expires, **known}


def _session_details(meta: Meta, sid: SessionId) -> dict[str, object]:
    """Return a session with what it keeps and locks.  Raises NotFound."""
    found = next((one for one in meta.sessions() if one.sid == sid), None)
    if found is None:
        raise NotFound(f"there is no session {sid}", hint="roost status META-URL lists them.")
    with meta.engine.scan() as scans:
        sustained = [ino for holder, ino in scans.all_sustained() if holder == sid]
        files = [ino for ino, attr in scans.all_nodes() if attr.is_file]
    locked = [one for ino in files for one in _locks(meta, ino, sid)]
    return {**_session(found), "Sustained": sustained, "Locks": locked}


def _locks(meta: Meta, ino: Ino, sid: SessionId) -> list[dict[str, object]]:
    whole, ranges = meta.engine.read(lambda reads: (reads.flocks(ino), reads.range_locks(ino)))
    found: list[dict[str, object]] = [
        {"Inode": ino, "Owner": f"{who.owner:016X}", "Kind": kind.name.lower()}
        for who, kind in whole
        if who.sid == sid
    ]
    for who, held in ranges:
        if who.sid == sid:
            owner = f"{who.owner:016X}"
            found += [
                {
                    "Inode": ino,
                    "Owner": owner,
                    "Kind": one.kind.name.lower(),
                    "Start": one.start,
                    "End": one.end,
                }
                for one in held
            ]
    return found


def _more(meta: Meta, progress: Progress) -> dict[str, int]:
    """Count, in JuiceFS's words, what lies in the trash and what waits to be removed."""
    found = dict.fromkeys(
        (
            "TrashFileCount",
            "TrashFileSize",
            "PendingDeletedFileCount",
            "PendingDeletedFileSize",
            "TrashSliceCount",
            "TrashSliceSize",
            "PendingDeletedSliceCount",
            "PendingDeletedSliceSize",
        ),
        0,
    )

    def note(what: str, size_bytes: int) -> None:
        found[f"{what}Count"] += 1
        found[f"{what}Size"] += size_bytes

    total = meta.statfs().used_inodes
    with meta.engine.scan() as scans:
        for number, (_, attr) in enumerate(scans.all_nodes()):
            if number % _TOLD_EVERY == 0:
                progress(number, total)
            if attr.parent > TRASH and not attr.is_directory:
                note("TrashFile", attr.length if attr.is_file else 0)
        for file in scans.all_deleted_files():
            note("PendingDeletedFile", file.length)
        for delayed in scans.all_delayed():
            for ref in delayed.slices:
                note("TrashSlice", ref.size)
        for ref in scans.all_slice_refs():
            if ref.refs <= 0:
                note("PendingDeletedSlice", ref.size)
    return found


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)
