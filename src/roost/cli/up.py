"""`roost up`: the embedded cluster."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from roost.app.supervisor import Supervisor
from roost.cli.output import plain_errors
from roost.config.settings import load
from roost.telemetry import logs

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def up(
    data: Annotated[Path | None, typer.Option(help="Data directory [default: roost-data].")] = None,
    readers: Annotated[int | None, typer.Option(help="Reader processes.", min=1, max=64)] = None,
    port: Annotated[int | None, typer.Option(help="Port of the Milvus API; 0: a free one.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    config: Annotated[Path | None, typer.Option(help="File of settings (TOML).")] = None,
) -> None:
    """Start the embedded cluster: writer, readers and router on one data directory.

    Example: roost up --data ./roost-data --readers 2
    """
    with plain_errors():
        overrides = {"data": data, "readers": readers, "port": port, "host": host}
        settings = load(config, overrides)
        logs.set_up("WARNING")
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        supervisor = Supervisor(settings, config)
        if settings.host not in LOOPBACK:
            typer.secho(
                f"Warning: {settings.host} can be reached from other machines, "
                "and Roost does not authenticate anybody yet.",
                fg="yellow",
                err=True,
            )
        typer.echo("Starting …")
        supervisor.start()
        try:
            _tell(supervisor)
            stopped.wait()
        finally:
            typer.echo("Stopping …")
            supervisor.stop()
        typer.echo("Stopped; everything acknowledged is on disk.")


def _tell(supervisor: Supervisor) -> None:
    directory = supervisor.directory
    members = ", ".join(f"{name} (pid {pid})" for name, pid in supervisor.pids().items())
    typer.echo(
        f"""Roost is up.
  Milvus API  {supervisor.uri}   MilvusClient("{supervisor.uri}")
  members     {members}
  data        {directory.root}
  volume      {directory.meta_url}   (objects in {directory.objects})
  catalog     {directory.catalog_url}
  logs        {directory.logs}
Press Ctrl-C to stop."""
    )


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("up")(up)
