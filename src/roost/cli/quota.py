"""`roost quota`: limits of folders, users and groups."""

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument, inside
from roost.cli.progress import counting
from roost.cli.storage_options import size_in
from roost.errors import Damage, InvalidArgument, Refusal
from roost.sizes import format_size
from roost.volume.errors import FsError
from roost.volume.meta.answers import QuotaCheck, QuotaOf
from roost.volume.meta.api import Meta, open_meta
from roost.volume.model import Ino, Quota, QuotaKind

app = typer.Typer(help="Limit folders, users and groups.", no_args_is_help=True)

PathOption = Annotated[
    str | None, typer.Option("--path", help="A folder of the volume, from its root.")
]
UidOption = Annotated[int | None, typer.Option("--uid", help="A user's number.", min=0)]
GidOption = Annotated[int | None, typer.Option("--gid", help="A group's number.", min=0)]
StrictOption = Annotated[
    bool,
    typer.Option("--strict", help="Count every file, not the folders' statistics; may be slow."),
]


@app.command("set")
def set_(
    meta_url: MetaArgument,
    path: PathOption = None,
    uid: UidOption = None,
    gid: GidOption = None,
    capacity: Annotated[
        str | None,
        typer.Option("--capacity", metavar="SIZE", help="In GiB, or as 500M, 2T; 0: no limit."),
    ] = None,
    inodes: Annotated[
        int | None, typer.Option("--inodes", help="Files and folders; 0: no limit.", min=0)
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the folder if absent.")] = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Limit a folder with all below it, a user, or a group.

    Example: roost quota set redis://localhost/1 --path /projects/a --capacity 100 --inodes 1000000
    """
    with plain_errors(), open_meta(meta_url) as meta:
        if capacity is None and inodes is None:
            raise InvalidArgument("nothing to limit", hint="Give --capacity, --inodes or both.")
        kind, key = _whom(meta, path, uid, gid, create=create)
        with Console(stderr=True).status("counting what is there"):
            meta.quota_set(
                kind,
                key,
                space_bytes_max=None if capacity is None else size_in(capacity, "G", "--capacity"),
                inodes_max=inodes,
                strict=strict,
            )
        _show(_found(meta, kind, key, path), as_json)


@app.command("get")
def get(
    meta_url: MetaArgument,
    path: PathOption = None,
    uid: UidOption = None,
    gid: GidOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one quota.  Exit code 2 if there is none.

    Example: roost quota get redis://localhost/1 --uid 1000
    """
    with plain_errors(), open_meta(meta_url, read_only=True) as meta:
        _show(_found(meta, *_whom(meta, path, uid, gid), path), as_json)


@app.command("list")
def list_(meta_url: MetaArgument, as_json: JsonOption = False) -> None:
    """Show all quotas.

    Example: roost quota list redis://localhost/1
    """
    with plain_errors(), open_meta(meta_url, read_only=True) as meta:
        _show(meta.quota_list(), as_json)


app.command("ls", hidden=True)(list_)


@app.command("delete")
def delete(
    meta_url: MetaArgument,
    path: PathOption = None,
    uid: UidOption = None,
    gid: GidOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lift a quota.

    Example: roost quota delete redis://localhost/1 --path /projects/a
    """
    with plain_errors(), open_meta(meta_url) as meta:
        kind, key = _whom(meta, path, uid, gid)
        if not meta.quota_delete(kind, key):
            raise Refusal(f"there is no quota of {_name(kind, key, path)}")
        lifted = {"kind": kind.name.lower(), "key": key, "name": _name(kind, key, path)}
    if as_json:
        show_json({"deleted": lifted})


app.command("del", hidden=True)(delete)


@app.command("check")
def check(
    meta_url: MetaArgument,
    path: PathOption = None,
    uid: UidOption = None,
    gid: GidOption = None,
    repair: Annotated[bool, typer.Option("--repair", help="Store what was counted.")] = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare what a quota says is used with what is there; all folders' quotas without a path.

    Exit code 4 if one is wrong and stays so.

    Example: roost quota check redis://localhost/1 --path /projects/a --repair
    """
    with plain_errors(), open_meta(meta_url, read_only=not repair) as meta:
        kind, key = QuotaKind.DIRECTORY, None
        if (path, uid, gid) != (None, None, None):
            kind, key = _whom(meta, path, uid, gid)
        with counting("checking") as progress:
            checks = meta.quota_check(kind, key, strict=strict, repair=repair, progress=progress)
    if as_json:
        show_json(checks)
    else:
        for one in checks:
            _show_check(one, path)
    if any(not one.is_consistent and not one.repaired for one in checks):
        raise typer.Exit(Damage.exit_code)


def _whom(
    meta: Meta, path: str | None, uid: int | None, gid: int | None, *, create: bool = False
) -> tuple[QuotaKind, int]:
    if [path, uid, gid].count(None) != 2:
        raise InvalidArgument("whose quota?", hint="Give one of --path, --uid and --gid.")
    if uid is not None:
        return QuotaKind.USER, uid
    if gid is not None:
        return QuotaKind.GROUP, gid
    return QuotaKind.DIRECTORY, _folder(meta, inside(path or "/"), create=create)


def _folder(meta: Meta, path: str, *, create: bool) -> Ino:
    try:
        return meta.resolve(path).ino
    except FsError:
        if not create:
            raise
    ino = meta.resolve("/").ino
    for name in filter(None, path.split("/")):
        try:
            ino = meta.lookup(ino, os.fsencode(name)).ino
        except FsError:
            ino = meta.mkdir(ino, os.fsencode(name), 0o777).ino
    return ino


def _found(meta: Meta, kind: QuotaKind, key: int, path: str | None) -> tuple[QuotaOf, ...]:
    quota = meta.quota_get(kind, key)
    if quota is None:
        raise Refusal(f"there is no quota of {_name(kind, key, path)}")
    return (QuotaOf(kind, key, quota, "" if path is None else inside(path)),)


def _name(kind: QuotaKind, key: int, path: str | None) -> str:
    if kind is QuotaKind.DIRECTORY:
        return inside(path) if path else f"inode {key}"
    return f"{'uid' if kind is QuotaKind.USER else 'gid'} {key}"


def _show(quotas: tuple[QuotaOf, ...], as_json: bool) -> None:
    if as_json:
        show_json(quotas)
        return
    table = Table("quota of", "size", "used", "use%", "inodes", "iused", "iuse%")
    for one in quotas:
        quota = one.quota
        table.add_row(
            _name(one.kind, one.key, one.path or None),
            *_size_columns(quota),
            *_inode_columns(quota),
        )
    Console().print(table)


def _size_columns(quota: Quota) -> tuple[str, str, str]:
    used = format_size(max(quota.used_space_bytes, 0))
    if quota.space_bytes_max <= 0:
        return "unlimited", used, ""
    share = quota.used_space_bytes / quota.space_bytes_max
    return format_size(quota.space_bytes_max), used, f"{share:.0%}"


def _inode_columns(quota: Quota) -> tuple[str, str, str]:
    used = f"{quota.used_inodes:,}"
    if quota.inodes_max <= 0:
        return "unlimited", used, ""
    return f"{quota.inodes_max:,}", used, f"{quota.used_inodes / quota.inodes_max:.0%}"


def _show_check(one: QuotaCheck, path: str | None) -> None:
    name = _name(one.kind, one.key, path)
    if one.is_consistent:
        typer.echo(f"{name}: consistent")
        return
    stored, counted = one.stored, one.counted
    typer.echo(
        f"{name}: stored {stored.inodes:,} inodes and {stored.space_bytes:,} bytes, "
        f"counted {counted.inodes:,} and {counted.space_bytes:,}"
        + (", repaired" if one.repaired else "")
    )


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.add_typer(app, name="quota")
