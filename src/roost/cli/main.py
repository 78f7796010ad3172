"""The command `roost`: one module per command, imported only when that command is run.

`roost --help` needs the names and summaries alone; a test holds them to the commands' own.
"""

import sys
import traceback
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

import roost
from roost.cli.arguments import GlobalFlags, command_arguments, leading_flags
from roost.cli.output import EXIT_DEFECT, plain_errors
from roost.errors import Unsupported

# Name of a command -> (module of `roost.cli` that registers it, first paragraph of its help).
COMMANDS = {
    "up": (
        "up",
        "Start the embedded cluster: writer, readers and router on one data directory.",
    ),
    "serve": (
        "serve",
        "Run one member: the writer, a reader with a router, or everything in one process.",
    ),
    "router": ("serve", "Run a router alone: it asks the readers and merges their answers."),
    "demo": ("demo", "Insert a million real vectors and search them while they arrive."),
    "bench": (
        "bench",
        "Measure Roost beside its peers; or a folder, as JuiceFS's bench does: "
        "roost bench /mnt/jfs -p 4.",
    ),
    "format": (
        "format",
        "Make a volume: prove the bucket by a write and a read, then write its settings.",
    ),
    "config": (
        "config",
        "Show the settings of a volume, or change those that options are given for.",
    ),
    "status": (
        "status",
        "Show settings, use, durability, warnings and sessions of a volume.  Secrets are left out.",
    ),
    "summary": (
        "summary",
        "Show what the folders of a tree hold: size, folders and files, the largest first.",
    ),
    "info": (
        "info",
        "Show inode, counts, sizes and, with --meta, the objects behind a file.",
    ),
    "stats": (
        "stats",
        "Show what a client does, a line each second; what it does not tell is left out.",
    ),
    "profile": (
        "profile",
        "Show how often each operation was done and for how long, the longest first.",
    ),
    "ls": ("ls", "List a folder, sorted by name."),
    "cp": (
        "cp",
        'Copy files.  With --meta, a path that begins with ":" is in the volume, '
        "any other is local.",
    ),
    "cat": ("cat", "Write the bytes of files to standard output."),
    "rm": ("rm", "Remove files, and with -r folders; into the volume's trash if it has one."),
    "mkdir": ("mkdir", "Make folders."),
    "clone": ("clone", "Copy a file or a folder inside a volume without copying its data."),
    "rmr": ("rmr", "Remove files and folders with all in them, many names in one commit."),
    "restore": (
        "restore",
        "Rebuild the trees that lie in hours of the trash, and put them back where they were.",
    ),
    "quota": ("quota", "Limit folders, users and groups."),
    "sync": (
        "sync",
        "Make DST like SRC: copy what it lacks or has otherwise; delete only if told to.",
    ),
    "warmup": (
        "warmup",
        "Fetch files into this host's cache, so that the first reader finds them there.",
    ),
    "fsck": ("fsck", "Check metadata and objects; exit code 4 if something is damaged."),
    "gc": (
        "gc",
        "Look for objects that nothing in the volume needs; exit code 3 if a removal failed.",
    ),
    "compact": ("gc", "Merge the pieces that many small writes left, for faster reading."),
    "dump": (
        "dump",
        "Write the metadata as JSON, as `juicefs dump` does; either client can load it.",
    ),
    "load": ("dump", "Fill an empty database from a JSON dump of Roost or JuiceFS."),
    "backup": ("backup", "Back up metadata to the bucket, and restore it."),
    "destroy": (
        "destroy",
        "Delete all objects and all metadata of a volume.  There is no way back.",
    ),
    "objbench": (
        "objbench",
        "Test an object store and measure it; what is written is removed again.",
    ),
    "version": ("version", "Show the version of Roost."),
}

# Commands of JuiceFS that people will type and that Roost has not, with what does the work.
ELSEWHERE = {
    "mount": "Mount it with the official client, `juicefs mount META-URL MOUNTPOINT`, or use "
    "`roost ls|cp|cat --meta META-URL` and `roost.volume.Volume`, which need no mount.",
    "umount": "Use `juicefs umount MOUNTPOINT`.",
    "gateway": "Use `juicefs gateway META-URL ADDRESS` on the same volume.",
    "webdav": "Use `juicefs webdav META-URL ADDRESS` on the same volume.",
    "mdtest": "Use `roost bench meta`.",
    "debug": "Use `roost status META-URL` and the logs.",
    "changelog": "Use `juicefs changelog META-URL`; Roost only reads a volume with a change log.",
    "tier": "Use `roost config META-URL --tier N --storage-class CLASS` for the classes of tiers, "
    "and `juicefs tier` to move files to one.",
}


class _Lazy(TyperGroup):
    """The group of all commands: it lists them by `COMMANDS`, and imports the one that is run.

    `ctx` is Any: typer does not export the type that it passes.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, summary) in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=summary)

    def invoke(self, ctx: Any) -> Any:
        with plain_errors():  # all of a command, what it prints at its end too
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.obj = GlobalFlags()
        with plain_errors():
            rest = leading_flags(args, ctx.obj)
        return super().parse_args(ctx, rest)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in ELSEWHERE:
            raise Unsupported(f"roost has no command {args[0]} yet", hint=ELSEWHERE[args[0]])
        name, listed, rest = super().resolve_command(ctx, args)
        command = listed and load(str(name))
        if command is not None:
            rest = command_arguments(rest, str(name), command, ctx.obj)
        ctx.obj.apply()
        return name, command, rest


def load(name: str) -> Any:
    """Import the command `name` of `COMMANDS` and return it, as click runs it."""
    registered = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    registered.callback()(_nothing)  # or typer makes a single command without its name
    import_module(f"roost.cli.{COMMANDS[name][0]}").register(registered)
    return get_group(registered).commands[name]


def _nothing() -> None:
    pass


app = typer.Typer(
    cls=_Lazy,
    name="roost",
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"roost version {roost.__version__}")
        raise typer.Exit


@app.callback()
def roost_(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Show the version.", callback=_show_version, is_eager=True
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log everything; after a command, too.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Log warnings and errors only.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Print no colours.")] = False,
) -> None:
    """A vector search cluster on a shared file system."""


def main() -> None:
    """Run the command line.

    Names in a volume may be any bytes: those that are no UTF-8 are shown, and written into JSON,
    as escapes, instead of ending the command.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception:  # noqa: BLE001 - the end of the process
        traceback.print_exc()
        sys.exit(EXIT_DEFECT)
