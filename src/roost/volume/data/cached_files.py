"""Listing what lies in a cache folder, where others may remove things at any time."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path, *, all_of_them: bool = False) -> Iterator[tuple[Path, int, float]]:
    """Yield (path, bytes, time of last use) of the files below a folder.

    What is gone has no files.  A folder that cannot be listed has none either, unless all files
    are asked for: then raises OSError.
    """
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                        continue
                    try:
                        stat = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield Path(entry.path), stat.st_size, max(stat.st_atime, stat.st_mtime)
        except FileNotFoundError:
            continue
        except OSError:
            if all_of_them:
                raise


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, none if it is gone.  Raises OSError."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
