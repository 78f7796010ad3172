"""Where a path command works: on an ordinary path through the system, or inside a volume.

With `--meta META-URL` a path is one inside the volume, from its root; a leading ":" is allowed and
means nothing there, except in `cp`, where only paths with it are the volume's.
"""

from pathlib import Path
from typing import Annotated

import typer

from roost.volume.client import VolumeClient

MetaOption = Annotated[
    str | None,
    typer.Option(
        "--meta",
        metavar="META-URL",
        envvar="ROOST_META",
        help="Work inside this volume; without it, PATH is an ordinary path, on a mount or not.",
    ),
]
CacheOption = Annotated[
    Path | None, typer.Option("--cache-dir", help="Local folder for cached files.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MetaArgument = Annotated[
    str, typer.Argument(metavar="META-URL", help="Where metadata lives: sqlite3:///path/meta.db")
]


def inside(path: str) -> str:
    """Return a path inside a volume as the client wants it."""
    return "/" + path.removeprefix(":").lstrip("/")


def open_volume(meta_url: str, *, read_only: bool, cache_dir: Path | None = None) -> VolumeClient:
    """Open a volume for one command."""
    return VolumeClient.open(meta_url, read_only=read_only, cache_dir=cache_dir)
