"""`roost up`: the embedded cluster."""

import signal
import threading
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from roost.app.supervisor import Supervisor
from roost.cli.output import plain_errors
from roost.cli.serve import Config, Data, Host, Port, warn_of_strangers
from roost.config.settings import load
from roost.telemetry import logs


def up(
    data: Data = None,
    readers: Annotated[
        int | None, typer.Option(help="Reader processes.", min=1, max=64, show_default="2")
    ] = None,
    port: Port = None,
    host: Host = None,
    config: Config = None,
) -> None:
    """Start the embedded cluster: writer, readers and router on one data directory.

    Example: roost up --data ./roost-data --readers 2
    """
    with plain_errors():
        overrides = {"data": data, "readers": readers, "port": port, "host": host}
        settings = load(config, overrides)
        logs.set_up("WARNING")
        supervisor = Supervisor(settings, config)
        warn_of_strangers(settings.host)
        typer.echo("Starting …")
        _on_signals(_interrupt)  # a start may wait long for a writer elsewhere
        supervisor.start()
        try:
            stopped = threading.Event()
            _on_signals(lambda *_: stopped.set())
            _tell(supervisor)
            stopped.wait()
        finally:
            typer.echo("Stopping …")
            supervisor.stop()
        typer.echo("Stopped; everything acknowledged is on disk.")


def _on_signals(handler: Callable[..., None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


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
