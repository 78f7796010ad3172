"""Where a path command works: on an ordinary path through the system, or inside a volume.

With `--meta META-URL` a path is one inside the volume, from its root; a leading ":" is allowed and
means nothing there, except in `cp`, where only paths with it are the volume's.  A path
`jfs://VOLUME/path` or `roost://VOLUME/path` names its volume itself, as in `roost sync`.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roost.cli.data_options import DataPath
from roost.errors import InvalidArgument
from roost.volume.access.places import SCHEMES, Place, place_of, split_url

if TYPE_CHECKING:
    from roost.volume.client import VolumeClient

_URLS = tuple(f"{scheme}://" for scheme in SCHEMES)

MetaOption = Annotated[
    str | None,
    typer.Option(
        "--meta",
        metavar="META-URL",
        envvar="ROOST_META",
        help="Work inside this volume; without it, PATH is an ordinary path, on a mount or not.",
    ),
]
VolumeOption = Annotated[
    str | None,
    typer.Option("--meta", metavar="META-URL", envvar="ROOST_META", help="The volume."),
]
CacheOption = Annotated[
    Path | None, typer.Option("--cache-dir", help="Local folder for cached files.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MetaArgument = Annotated[
    str, typer.Argument(metavar="META-URL", help="Where metadata lives: sqlite3:///path/meta.db")
]


_A_VOLUME_IS = (
    "A volume is named by its metadata URL: roost {example}. "
    "That is the URL with which a mount was made; ROOST_META may hold it."
)


def demanded(meta: str | None, what: str, example: str) -> str:
    """Return the volume's URL.  Raises InvalidArgument without one, saying how to name it."""
    if meta:
        return meta
    raise InvalidArgument(f"{what} inside a volume", hint=_A_VOLUME_IS.format(example=example))


def demand_url(meta_url: str, example: str) -> None:
    """Demand that a command's first argument is a URL.  Raises InvalidArgument for a path."""
    if "://" not in meta_url:
        hint = _A_VOLUME_IS.format(example=example)
        raise InvalidArgument(f"{meta_url} is a path, and no metadata URL", hint=hint)


def local_path(path: str) -> Path:
    """Return an ordinary path.

    Raises InvalidArgument for a URL, as a META-URL before the path would be.
    """
    _refuse_url(path)
    return Path(path)


def _refuse_url(path: str) -> None:
    if "://" in path:
        # The URL is not repeated: it may hold a password.
        raise InvalidArgument(
            "a URL is given where a path is wanted",
            hint="Write --meta META-URL, and then the path inside the volume.",
        )


def inside(path: str) -> str:
    """Return a path inside a volume as the client wants it.  Raises InvalidArgument for a URL."""
    _refuse_url(path)
    return "/" + path.removeprefix(":").lstrip("/")


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Let a refusal name the path that was asked for, where it would name an inode."""
    from roost.volume.errors import FsError

    try:
        yield
    except FsError as error:
        raise FsError(error.errno or errno.EIO, name=os.fsencode(path)) from error


def open_volume(meta_url: str, *, read_only: bool, data: DataPath | None = None) -> "VolumeClient":
    """Open a volume for one command."""
    # A third of a second of modules, which commands on metadata alone do without.
    from roost.volume.client import VolumeClient

    chosen = data or DataPath()
    return VolumeClient.open(
        meta_url, read_only=read_only, cache_dir=chosen.cache_dir, data=chosen.settings
    )


@dataclass(frozen=True, slots=True)
class Located:
    """Paths, and the volume they are in; `place` is None if they are ordinary paths."""

    place: Place | None
    paths: tuple[str, ...]

    def open(self, *, read_only: bool, data: DataPath | None = None) -> "VolumeClient":
        """Open the volume.  Raises InvalidArgument if it has another name than the paths say."""
        assert self.place is not None
        client = open_volume(self.place.meta_url, read_only=read_only, data=data)
        if self.place.name not in ("", client.settings.name):
            client.close()
            raise InvalidArgument(
                f"the volume's name is {client.settings.name!r}, not {self.place.name!r}"
            )
        return client


def located(meta_url: str | None, paths: Sequence[str], *, local_too: bool = False) -> Located:
    """Return the volume that `--meta` or the paths themselves name; its paths begin with ":".

    Raises InvalidArgument for paths of several volumes, or a volume that nothing leads to; and,
    unless `local_too`, for ordinary paths beside a volume's.
    """
    places: set[Place] = set()
    found = []
    for path in paths:
        if path.startswith(_URLS):
            authority, below = split_url(path)
            places.add(place_of(authority, meta_url))
            found.append(f":{below}")
        else:
            found.append(path)
    if len(places) > 1:
        raise InvalidArgument("the paths are in several volumes", hint="Use roost sync.")
    if (
        places
        and meta_url is None
        and not local_too
        and not all(p.startswith(_URLS) for p in paths)
    ):
        raise InvalidArgument("some paths are in a volume and some are not")
    if places:
        return Located(places.pop(), tuple(found))
    return Located(None if meta_url is None else Place(meta_url), tuple(found))
