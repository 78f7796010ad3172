"""The settings of one process: defaults, then a TOML file, then the command line.

Only this room reads files of settings.  Unknown keys are refused, so that a slip of the pen is not
a silently ignored wish.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roost.errors import InvalidArgument

MILVUS_PORT = 19530
PORT_MAX = 65_535
DEFAULT_DATA = Path("roost-data")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Addresses that no other machine reaches."""
ANY_ADDRESS = frozenset({"0.0.0.0", "::"})
"""To listen there is to listen on every address of the machine; nobody can be sent there."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process is told.  Empty URLs mean: inside the data directory."""

    data: Path = DEFAULT_DATA
    """Where the embedded volume, catalog, caches and logs live."""
    meta_url: str = ""
    """Metadata of the volume, as in `roost format`."""
    catalog_url: str = ""
    """Catalog of collections, an SQLAlchemy URL."""
    cache: str = ""
    """Folder of the whole-file cache of this host."""
    host: str = "127.0.0.1"
    """Address to listen on.  Nobody is authenticated, so the default is this machine only."""
    port: int = MILVUS_PORT
    """Of the Milvus API; 0 takes a free one."""
    member_host: str = "127.0.0.1"
    """Address at which the other members reach this one.  They are served there alone, or on every
    address if `host` is every one and this is not loopback."""
    readers: int = 2
    """Reader processes of `roost up`."""
    replicas: int = 0
    """Readers that hold each segment; 0 means all of them."""
    metrics_port: int = 0
    """Of Prometheus metrics; 0 serves none.  `roost up` gives it to the writer, and the ports after
    it to its readers."""
    engine: Mapping[str, Any] = field(default_factory=dict)
    """Numbers of the engine by name, see `vector.engine.EngineSettings`."""


def load(file: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings of `file` with `overrides` (those that are not None) on top.

    Raises InvalidArgument for a file that does not parse, an unknown key or a wrong type.
    """
    values = {} if file is None else _read(file)
    values |= {key: value for key, value in overrides.items() if value is not None}
    known = {f.name: f for f in dataclasses.fields(Settings)}
    for key, value in values.items():
        if key not in known:
            raise InvalidArgument(f"unknown setting {key!r}", hint=_closest(key, known))
        values[key] = _typed(key, value)
    return Settings(**values)


def in_address(host: str) -> str:
    """Return `host` as it stands before a colon and a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def check_names(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    """Raise InvalidArgument, with the closest known name as hint, for a key not in `known`."""
    for key in given:
        if key not in known:
            raise InvalidArgument(f"unknown setting {where}.{key}", hint=_closest(key, known))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise InvalidArgument(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file} is not TOML: {error}") from error


def _typed(key: str, value: Any) -> Any:
    default = getattr(Settings(), key)
    if isinstance(default, Path) and isinstance(value, str | Path):
        return Path(value)
    if isinstance(default, Mapping) and isinstance(value, Mapping):
        return dict(value)
    if type(value) is not type(default):
        raise InvalidArgument(f"setting {key} must be of type {type(default).__name__}: {value!r}")
    if isinstance(value, int) and value < 0:
        raise InvalidArgument(f"setting {key} must not be negative: {value}")
    if key in ("port", "metrics_port") and value > PORT_MAX:
        raise InvalidArgument(f"setting {key}: {value} is not a port", hint="Choose 0 to 65535.")
    return value


def _closest(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    names = ", ".join(sorted(known))
    return f"Did you mean {close[0]!r}?" if close else f"Known settings: {names}."
