"""`roost serve` and `roost router`: one member of a cluster in this process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from roost.app.processes import end_with_parent, say_ready
from roost.cli.output import plain_errors
from roost.config.settings import DEFAULT_DATA, LOOPBACK, MILVUS_PORT, load
from roost.telemetry import logs

Data = Annotated[Path | None, typer.Option(help="Data directory.", show_default=str(DEFAULT_DATA))]
Port = Annotated[
    int | None,
    typer.Option(help="Port of the Milvus API; 0: a free one.", show_default=str(MILVUS_PORT)),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")]
Config = Annotated[Path | None, typer.Option(help="File of settings (TOML).")]
MetricsPort = Annotated[int | None, typer.Option(help="Port of Prometheus metrics.")]
LogLevel = Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")]
Descriptor = Annotated[int | None, typer.Option(hidden=True)]


def serve(
    role: Annotated[str, typer.Option(help="rw (writer), ro (reader) or standalone.")],
    data: Data = None,
    port: Port = None,
    host: Host = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for whole files of this host.")] = None,
    config: Config = None,
    metrics_port: MetricsPort = None,
    shared_port: Annotated[
        bool, typer.Option("--shared-port", help="Several members of this host share the port.")
    ] = False,
    log_level: LogLevel = "INFO",
    ready_fd: Descriptor = None,
    lifeline_fd: Descriptor = None,
) -> None:
    """Run one member: the writer, a reader with a router, or everything in one process.

    Example: roost serve --role ro --data /var/lib/roost --port 19530
    """
    overrides = {
        "data": data,
        "port": port,
        "host": host,
        "cache": None if cache is None else str(cache),
        "metrics_port": metrics_port,
    }
    _run(role, overrides, config, log_level, ready_fd, lifeline_fd, shared_port=shared_port)


def router(
    data: Data = None,
    port: Port = None,
    host: Host = None,
    config: Config = None,
    metrics_port: MetricsPort = None,
    log_level: LogLevel = "INFO",
) -> None:
    """Run a router alone: it asks the readers and merges their answers.

    Example: roost router --data /var/lib/roost --port 19531
    """
    overrides = {"data": data, "port": port, "host": host, "metrics_port": metrics_port}
    _run("router", overrides, config, log_level, None, None, shared_port=False)


def _run(
    role: str,
    overrides: Mapping[str, object],
    config: Path | None,
    log_level: str,
    ready_fd: int | None,
    lifeline_fd: int | None,
    *,
    shared_port: bool,
) -> None:
    with plain_errors():
        from roost.app.members import run

        settings = load(config, overrides)
        logs.set_up(log_level)
        end_with_parent(lifeline_fd)
        if ready_fd is None:
            warn_of_strangers(settings.host)

        def on_ready(address: str) -> None:
            if ready_fd is None and address:
                typer.echo(f"Milvus API at http://{address}; Ctrl-C stops this member.")
            say_ready(ready_fd)

        run(role, settings, on_ready, shared_port=shared_port)


def warn_of_strangers(host: str) -> None:
    """Say so if other machines reach `host`, since nobody is asked who they are."""
    if host not in LOOPBACK:
        typer.secho(
            f"Warning: {host} can be reached from other machines, "
            "and Roost does not authenticate anybody yet.",
            fg="yellow",
            err=True,
        )


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("serve")(serve)
    app.command("router")(router)
