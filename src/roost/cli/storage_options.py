"""Options that several commands share about where objects lie, spelled as JuiceFS spells them."""

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from roost.errors import InvalidArgument
from roost.sizes import GIB, KIB, MIB, parse_size

T = TypeVar("T")

StorageOption = Annotated[
    str, typer.Option(help="Object storage: file, s3, minio, wasb, gs, oss, cos, obs, webdav …")
]
AccessKeyOption = Annotated[
    str, typer.Option(envvar="ACCESS_KEY", show_envvar=True, help="Access key, or Azure account.")
]
SecretKeyOption = Annotated[
    str, typer.Option(envvar="SECRET_KEY", show_envvar=True, help="Secret key.")
]
SessionTokenOption = Annotated[
    str, typer.Option(envvar="SESSION_TOKEN", show_envvar=True, help="Session or SAS token.")
]
StorageClassOption = Annotated[
    str, typer.Option("--storage-class", "--sc", help="Storage class of new objects.")
]
TagOption = Annotated[str, typer.Option(help="A tag on new objects: KEY=VALUE.")]
CapacityOption = Annotated[
    str, typer.Option(metavar="SIZE", help="Limit of the volume in GiB, or as 500M, 2T; 0: none.")
]
InodesOption = Annotated[int, typer.Option(help="Limit of the number of files; 0 is none.")]
TrashDaysOption = Annotated[int, typer.Option(help="Days a deleted file stays in .trash.")]

_UNITS = {"K": KIB, "M": MIB, "G": GIB}


def size_in(text: str, unit: str, option: str) -> int:
    """Return bytes of "4M", or of a bare number of `unit` ("K", "M", "G").

    Raises InvalidArgument, naming the option.
    """
    try:
        if text.strip().replace(".", "", 1).isdigit():
            return int(float(text) * _UNITS[unit])
        return parse_size(text)
    except ValueError as error:
        raise InvalidArgument(
            f"{option}: not a size: {text!r}", hint="Write a number, or one with K, M, G or T."
        ) from error


def megabits(text: str, option: str) -> int:
    """Return megabits a second of "200", "200M" or "1G".  Raises InvalidArgument."""
    words = text.strip().removesuffix("bps").strip()
    factor = 1
    if words[-1:].upper() in ("M", "G"):
        factor = 1000 if words[-1].upper() == "G" else 1
        words = words[:-1].strip()
    if not words.isdigit():
        raise InvalidArgument(
            f"{option}: not a bandwidth: {text!r}", hint="Write megabits a second: 200, or 1G."
        )
    return int(words) * factor


def if_given(context: typer.Context, name: str, value: T) -> T | None:
    """Return the value of an option that stands on the command line, otherwise None."""
    source = context.get_parameter_source(name)
    return value if source is not None and source.name == "COMMANDLINE" else None


def read_key(path: Path | None) -> str:
    """Return the text of a key's file, "" without one.  Raises InvalidArgument."""
    if path is None:
        return ""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(
            f"the key {path} cannot be read: {error}",
            hint="Make one with: openssl genrsa -aes256 -out my-key.pem 2048",
        ) from error
