"""`roost destroy`: a volume and everything in it, removed for good."""

from typing import Annotated

import typer

from roost.cli.output import plain_errors, show_json
from roost.cli.paths import JsonOption, MetaArgument
from roost.cli.progress import counting
from roost.errors import InvalidArgument
from roost.volume.tools.destroy import demand_destroyable
from roost.volume.tools.destroy import destroy as destroy_volume
from roost.volume.tools.opened import opened


def destroy(
    meta_url: MetaArgument,
    uuid: Annotated[
        str, typer.Argument(metavar="UUID", help="The volume's UUID, as `roost status` shows it.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even if clients have the volume open.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete all objects and all metadata of a volume.  There is no way back.

    Example: roost destroy redis://localhost/1 e94d66a8-2339-4abd-b8d8-6812df737892
    """
    with plain_errors(), opened(meta_url, read_only=False) as volume:
        demand_destroyable(volume, uuid, force=force)
        name = volume.settings.name
        question = f"Delete volume {name} with everything in {volume.store.name} and its metadata?"
        if not yes and not typer.confirm(question, err=as_json):
            raise InvalidArgument("nothing was deleted")
        with counting("objects") as progress:
            report = destroy_volume(volume, uuid, force=force, progress=progress)
    if as_json:
        show_json({"volume": name, "uuid": uuid, "objects": report.objects})
        return
    typer.echo(f"volume {name} is destroyed: {report.objects} objects deleted")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("destroy")(destroy)
