"""Which of the cache folders somebody named can be used: a cache is no reason to fail.

A folder that is read-only, on a full disk or no folder at all is left out, with a warning.  One on
a full disk stays if it has blocks of the volume: they are worth reading, and make room for others.
"""

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

from roost.errors import Unavailable

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PROBE_BYTES = 4096
log = logging.getLogger(__name__)


def refusal_of(folder: Path) -> OSError | None:
    """Return why nothing can be kept in a folder now, or None; it is made if needed."""
    try:
        if folder.exists() and not folder.is_dir():
            return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error
    return None


def usable(folders: Sequence[Path], volume_uuid: str) -> tuple[Path, ...]:
    """Return the folders that can hold blocks; a warning names each of the others, and why."""
    found = []
    for folder in folders:
        refusal = refusal_of(folder)
        full = refusal is not None and refusal.errno in _FULL
        if refusal is None or (full and _has_blocks(folder, volume_uuid)):
            found.append(folder)
        else:
            log.warning("cache folder left out: %s: %s", folder, refusal.strerror)
    return tuple(found)


def first_usable(folders: Sequence[Path]) -> Path:
    """Return the first folder that can be used, or the first one if none can."""
    if len(folders) > 1:
        for folder in folders:
            if refusal_of(folder) is None:
                return folder
    return folders[0]


def demand_usable(folder: Path) -> None:
    """Raise Unavailable if write-back cannot keep blocks there: they would not be durable."""
    refusal = refusal_of(folder)
    if refusal is not None:
        raise Unavailable(
            f"write-back cannot use {folder}: {refusal.strerror}",
            hint="Choose another cache folder, or open the volume without write-back.",
        ) from refusal


def _has_blocks(folder: Path, volume_uuid: str) -> bool:
    return (folder / f"roost-{volume_uuid}" / "raw").is_dir()
