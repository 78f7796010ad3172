"""How a command reads and writes a volume's data: options spelled and counted as JuiceFS's mount.

A command that opens a volume for its data takes one parameter `data: DataPath`; `with_data_options`
puts the options in its place, in a panel of their own in the help.
"""

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TypeVar, get_args

import typer

from roost.cli.output import plain_errors
from roost.cli.storage_options import megabits, size_in
from roost.errors import InvalidArgument
from roost.volume.data.settings import ChecksumLevel, DataSettings
from roost.volume.sync.words import duration_s

R = TypeVar("R")

PANEL = "Data path, as in `juicefs mount`"
PARAMETER = "data"
_NO_FOLDER = "memory"  # JuiceFS's word in the place of a cache folder
_DEFAULTS = DataSettings()


@dataclass(frozen=True, slots=True)
class DataPath:
    """What the options say; `cache_dir` is None for the user's cache folder.

    `in_memory`: nothing is to be kept, and `cache_dir` goes when the command is done.
    """

    settings: DataSettings = _DEFAULTS
    cache_dir: Path | None = None
    in_memory: bool = False


def _option(flag: str, metavar: str, help_text: str, **more: Any) -> Any:
    return typer.Option(flag, metavar=metavar, help=help_text, rich_help_panel=PANEL, **more)


@dataclass(frozen=True, slots=True)
class _Words:
    """The options as they stand on the command line; each field is one."""

    cache_dir: Annotated[
        str,
        _option(
            "--cache-dir", "PATH", 'Folders for cached data, ":" between several; memory: none.'
        ),
    ] = ""
    cache_size: Annotated[
        str, _option("--cache-size", "SIZE", "Cached data on disk; a plain number is MiB.")
    ] = "100G"
    free_space_ratio: Annotated[
        float, _option("--free-space-ratio", "PART", "Of the cache's disk, left free.")
    ] = _DEFAULTS.free_space_ratio
    cache_partial_only: Annotated[
        bool, _option("--cache-partial-only", "", "Cache only what parts of blocks were read from.")
    ] = False
    cache_large_write: Annotated[
        bool, _option("--cache-large-write", "", "Cache full blocks that were written, too.")
    ] = False
    verify_cache_checksum: Annotated[
        str, _option("--verify-cache-checksum", "LEVEL", "none, full, shrink or extend.")
    ] = _DEFAULTS.verify_cache_checksum
    buffer_size: Annotated[
        str, _option("--buffer-size", "SIZE", "Memory for writing; a plain number is MiB.")
    ] = "300M"
    max_readahead: Annotated[
        str,
        _option(
            "--max-readahead",
            "SIZE",
            "Ahead of one reader, 64M at most; a plain number is MiB.",
        ),
    ] = ""
    prefetch: Annotated[
        int, _option("--prefetch", "N", "Whole blocks fetched after reads of parts.", min=0)
    ] = _DEFAULTS.prefetch
    writeback: Annotated[
        bool, _option("--writeback", "", "Write to the cache's disk, to the store behind.")
    ] = False
    max_uploads: Annotated[int, _option("--max-uploads", "N", "Uploads at a time.", min=1)] = (
        _DEFAULTS.max_uploads
    )
    max_downloads: Annotated[
        int, _option("--max-downloads", "N", "Downloads at a time.", min=1)
    ] = _DEFAULTS.max_downloads
    upload_limit: Annotated[
        str, _option("--upload-limit", "MBPS", "Megabits a second; else as the volume says.")
    ] = ""
    download_limit: Annotated[
        str, _option("--download-limit", "MBPS", "Megabits a second; else as the volume says.")
    ] = ""
    io_retries: Annotated[
        int, _option("--io-retries", "N", "Tries of a request to the store.", min=0)
    ] = _DEFAULTS.io_retries
    get_timeout: Annotated[
        str, _option("--get-timeout", "TIME", "Of one download; 60s if not chosen.")
    ] = ""
    put_timeout: Annotated[
        str, _option("--put-timeout", "TIME", "Of one upload; 60s if not chosen.")
    ] = ""
    no_usage_report: Annotated[
        bool, typer.Option("--no-usage-report", help="Roost reports nothing.", hidden=True)
    ] = False

    def data_path(self) -> DataPath:
        """Return what the words mean.  Raises InvalidArgument, naming the option."""
        in_memory = self.cache_dir == _NO_FOLDER
        if in_memory and self.writeback:
            raise InvalidArgument(
                f"--writeback needs a folder, and --cache-dir {_NO_FOLDER} means none",
                hint=f"Name a folder; one called {_NO_FOLDER} is ./{_NO_FOLDER}.",
            )
        folders = () if in_memory else _folders(self.cache_dir)
        size_bytes = size_in(self.cache_size, "M", "--cache-size")
        settings = DataSettings(
            cache_dirs=folders if len(folders) > 1 else (),
            cache_size_bytes=0 if in_memory else size_bytes,
            free_space_ratio=_ratio(self.free_space_ratio, "--free-space-ratio"),
            cache_partial_only=self.cache_partial_only,
            cache_large_write=self.cache_large_write,
            verify_cache_checksum=_checksum(self.verify_cache_checksum),
            buffer_size_bytes=_positive_size(self.buffer_size, "--buffer-size"),
            max_readahead_bytes=size_in(self.max_readahead or "0", "M", "--max-readahead"),
            prefetch=self.prefetch,
            writeback=self.writeback,
            max_uploads=self.max_uploads,
            max_downloads=self.max_downloads,
            upload_limit_mbps=_limit(self.upload_limit, "--upload-limit"),
            download_limit_mbps=_limit(self.download_limit, "--download-limit"),
            io_retries=self.io_retries,
            get_timeout_s=_seconds(self.get_timeout, "--get-timeout"),
            put_timeout_s=_seconds(self.put_timeout, "--put-timeout"),
        )
        return DataPath(settings, folders[0] if folders else None, in_memory)


def with_data_options(command: Callable[..., R]) -> Callable[..., R]:
    """Return the command with the options in place of its parameter `data`."""
    options = [
        inspect.Parameter(
            one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type
        )
        for one in fields(_Words)
    ]
    own = [p for p in inspect.signature(command).parameters.values() if p.name != PARAMETER]
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]

    @wraps(command)
    def run(**given: Any) -> R:
        words = _Words(**{option.name: given.pop(option.name) for option in options})
        with plain_errors():
            data = words.data_path()
        with _folder_of_its_own(data) as data:
            return command(**given, **{PARAMETER: data})

    parameters = [*keywords, *options]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as typer reads it
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


@contextmanager
def _folder_of_its_own(data: DataPath) -> Iterator[DataPath]:
    """Give a folder to a command that is not to use the user's, for the volume to open in."""
    if not data.in_memory:
        yield data
        return
    with TemporaryDirectory(prefix="roost-", ignore_cleanup_errors=True) as folder:
        yield replace(data, cache_dir=Path(folder))


def _folders(text: str) -> tuple[Path, ...]:
    return tuple(Path(part).expanduser() for part in text.split(os.pathsep) if part)


def _positive_size(text: str, option: str) -> int:
    size_bytes = size_in(text, "M", option)
    if size_bytes < 1:
        raise InvalidArgument(f"{option}: {text!r} is no memory at all", hint="Write it as 300M.")
    return size_bytes


def _ratio(value: float, option: str) -> float:
    if not 0 <= value < 1:
        raise InvalidArgument(
            f"{option}: must be at least 0 and less than 1, not {value:g}",
            hint="Write 0.1 to leave a tenth of the disk free.",
        )
    return value


def _checksum(text: str) -> ChecksumLevel:
    for level in get_args(ChecksumLevel):
        if text == level:
            return level  # type: ignore[no-any-return]  # one of the literals
    raise InvalidArgument(
        f"--verify-cache-checksum: not a level: {text!r}",
        hint="Write none, full, shrink or extend.",
    )


def _limit(text: str, option: str) -> int | None:
    return megabits(text, option) if text else None


def _seconds(text: str, option: str) -> float | None:
    if not text:
        return None
    try:
        seconds = duration_s(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{option}: {error.message}", hint=error.hint) from error
    if not seconds:
        raise InvalidArgument(f"{option}: no time is no time-out", hint='Write it as "60s".')
    return seconds
