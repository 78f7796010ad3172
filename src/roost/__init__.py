"""Roost: a vector search cluster on a shared file system.

`roost.open` gives the engine in this process; `roost up` on the command line starts a cluster.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roost.app.database import Database

__all__ = ["open"]
__version__ = "0.1.0"


def open(data: str | Path = "roost-data", **engine_numbers: float) -> "Database":
    """Open (or make) the database in the folder `data`, for this process alone.

    Use it as a context manager.  `engine_numbers` are those of `vector.engine.EngineSettings`.
    Raises Unavailable if another process uses the folder, InvalidArgument, Damage.
    """
    from roost.app.database import open_database  # the rooms are loaded only when they are used

    return open_database(data, **engine_numbers)
