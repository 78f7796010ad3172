"""Applying a commit's effects to JuiceFS's tables in SQLite."""

import sqlite3
from collections.abc import Sequence

from roost.volume.engines.sql.dialect import SQLITE
from roost.volume.engines.sql.writes import USE_DIRECTORY, compute_usage, statements
from roost.volume.errors import InodeTaken
from roost.volume.meta.effects import AddNode, Effect, UseDirectory
from roost.volume.model import Ino

_IS_TAKEN = "jfs_node.inode"


def write_effects(connection: sqlite3.Connection, effects: Sequence[Effect]) -> None:
    """Apply the effects inside the caller's transaction.  Raises sqlite3.Error, InodeTaken."""
    # Whether a directory has statistics is told by the statement that adds to them.
    counted = {effect.ino for effect in effects if isinstance(effect, UseDirectory)}
    for text, values in statements(effects, SQLITE, counted):
        try:
            done = connection.execute(SQLITE.spell(text), values)
        except sqlite3.IntegrityError as error:
            if _IS_TAKEN not in str(error):
                raise
            added = next(effect.ino for effect in effects if isinstance(effect, AddNode))
            raise InodeTaken("SQLite", added) from error
        if text is USE_DIRECTORY and done.rowcount == 0:
            compute, computed = compute_usage(Ino(int(values[-1] or 0)))
            connection.execute(SQLITE.spell(compute), computed)
