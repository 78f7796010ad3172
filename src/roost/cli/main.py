"""The command `roost`: one module per command, put together here."""

import typer

from roost.cli import (
    backup,
    bench,
    cat,
    clone,
    config,
    cp,
    demo,
    destroy,
    dump,
    format,  # noqa: A004 - a command's name
    fsck,
    gc,
    info,
    ls,
    mkdir,
    objbench,
    profile,
    quota,
    restore,
    rm,
    rmr,
    serve,
    stats,
    status,
    summary,
    sync,
    up,
    warmup,
)

app = typer.Typer(
    name="roost",
    help="A vector search cluster on a shared file system.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _module in (
    up,
    serve,
    demo,
    bench,
    format,
    config,
    status,
    summary,
    info,
    stats,
    profile,
    ls,
    cp,
    cat,
    rm,
    mkdir,
    clone,
    rmr,
    restore,
    quota,
    sync,
    warmup,
    fsck,
    gc,
    dump,
    backup,
    destroy,
    objbench,
):
    _module.register(app)


def main() -> None:
    """Run the command line."""
    app()
