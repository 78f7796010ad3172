"""`roost config`: show the settings of a volume, or change them."""

import json
from typing import Annotated

import typer

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
    megabits,
    size_in,
)
from roost.errors import InvalidArgument
from roost.volume.configuring import ChangePlan, apply_change, plan_change, read_stored
from roost.volume.setting_change import SettingsChange
from roost.volume.settings import VolumeSettings, encode_settings, hide_secrets

_SWITCHES = ("--enable-acl/--no-enable-acl", "--dir-stats/--no-dir-stats")


def config(
    context: typer.Context,
    meta_url: MetaArgument,
    storage: StorageOption = "",
    bucket: Annotated[str, typer.Option(help="Bucket URL, or a directory.")] = "",
    access_key: AccessKeyOption = "",
    secret_key: SecretKeyOption = "",
    session_token: SessionTokenOption = "",
    storage_class: StorageClassOption = "",
    tag: TagOption = "",
    tier: Annotated[int, typer.Option(help="The tier that class and tag are for, 0 to 3.")] = 0,
    upload_limit: Annotated[
        str, typer.Option(metavar="MBPS", help="Of each client, in megabits a second; 0: none.")
    ] = "0",
    download_limit: Annotated[
        str, typer.Option(metavar="MBPS", help="Of each client, in megabits a second; 0: none.")
    ] = "0",
    capacity: CapacityOption = "0",
    inodes: InodesOption = 0,
    trash_days: TrashDaysOption = 1,
    enable_acl: Annotated[bool, typer.Option(_SWITCHES[0], help="Cannot be undone.")] = False,
    dir_stats: Annotated[bool, typer.Option(_SWITCHES[1], help="Needed by quotas.")] = False,
    user_group_quota: Annotated[
        bool, typer.Option("--user-group-quota/--no-user-group-quota", help="See roost quota.")
    ] = False,
    min_client_version: Annotated[str, typer.Option(help="Refuse older clients.")] = "",
    max_client_version: Annotated[str, typer.Option(help="Refuse newer clients.")] = "",
    encrypt_secret: Annotated[
        bool, typer.Option("--encrypt-secret", help="Store secrets encrypted from now on.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to every warning.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Agree, and do not try the storage first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the settings of a volume, or change those that options are given for.

    Open clients follow a change at their next heartbeat, within 12 seconds.

    Example: roost config redis://localhost/1 --trash-days 7 --capacity 10T
    """
    with plain_errors():
        change = SettingsChange(
            storage=if_given(context, "storage", storage),
            bucket=if_given(context, "bucket", bucket),
            access_key=if_given(context, "access_key", access_key),
            secret_key=if_given(context, "secret_key", secret_key),
            session_token=if_given(context, "session_token", session_token),
            storage_class=if_given(context, "storage_class", storage_class),
            tag=if_given(context, "tag", tag),
            tier=if_given(context, "tier", tier),
            upload_mbps=if_given(context, "upload_limit", megabits(upload_limit, "--upload-limit")),
            download_mbps=if_given(
                context, "download_limit", megabits(download_limit, "--download-limit")
            ),
            capacity_bytes=if_given(context, "capacity", size_in(capacity, "G", "--capacity")),
            inodes=if_given(context, "inodes", inodes),
            trash_days=if_given(context, "trash_days", trash_days),
            enable_acl=if_given(context, "enable_acl", enable_acl),
            dir_stats=if_given(context, "dir_stats", dir_stats),
            user_group_quota=if_given(context, "user_group_quota", user_group_quota),
            min_client_version=if_given(context, "min_client_version", min_client_version),
            max_client_version=if_given(context, "max_client_version", max_client_version),
            encrypt_secret=encrypt_secret,
        )
        if change == SettingsChange():
            _show(read_stored(meta_url), as_json=as_json)
            return
        plan = settle(meta_url, change, yes=yes or force, force=force, quiet=as_json)
        if as_json:
            show_json(
                {
                    "changes": [
                        {"setting": one.setting, "before": one.before, "after": one.after}
                        for one in plan.differences
                    ]
                }
            )


def settle(
    meta_url: str, change: SettingsChange, *, yes: bool, force: bool, quiet: bool
) -> ChangePlan:
    """Plan a change, have its warnings agreed to, apply it, and say what changed.

    Raises InvalidArgument if the person does not agree, and as `plan_change`, `apply_change`.
    """
    plan = plan_change(meta_url, change)
    if not plan.differences:
        if not quiet:
            typer.echo("Nothing changed.")
        return plan
    for warning in plan.warnings:
        complain(f"warning: {warning}")
    if plan.warnings and not yes and not _agreed():
        raise InvalidArgument("nothing was changed", hint="Use --yes to agree beforehand.")
    apply_change(meta_url, plan, force=force)
    if not quiet:
        for one in plan.differences:
            arrow = f"{one.before or '(none)'} -> {one.after}" if one.before else one.after
            typer.echo(f"{one.setting.replace('_', '-'):>20}: {arrow}")
    return plan


def _agreed() -> bool:
    try:
        return typer.confirm("Proceed anyway?", err=True)
    except typer.Abort:  # nobody there to ask
        typer.echo("", err=True)
        return False


def _show(settings: VolumeSettings, *, as_json: bool) -> None:
    known: dict[str, object] = json.loads(encode_settings(hide_secrets(settings)))
    if as_json:
        show_json(known)
        return
    for name, value in known.items():
        text = json.dumps(value) if isinstance(value, dict) else value
        typer.echo(f"{name:>18}  {text}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("config")(config)
