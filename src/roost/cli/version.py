"""`roost version`."""

import typer

import roost


def version() -> None:
    """Show the version of Roost.

    Example: roost version
    """
    typer.echo(f"roost version {roost.__version__}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("version")(version)
