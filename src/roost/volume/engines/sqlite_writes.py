"""Applying a commit's effects to JuiceFS's tables in SQLite."""

import sqlite3
from collections.abc import Sequence

from roost.volume.engines.sql.dialect import SQLITE
from roost.volume.engines.sql.writes import USE_DIRECTORY, compute_usage, statements
from roost.volume.meta.effects import Effect, UseDirectory
from roost.volume.model import Ino


def write_effects(connection: sqlite3.Connection, effects: Sequence[Effect]) -> None:
    """Apply the effects inside the caller's transaction.  Raises sqlite3.Error."""
    # Whether a directory has statistics is told by the statement that adds to them.
    counted = {effect.ino for effect in effects if isinstance(effect, UseDirectory)}
    for text, values in statements(effects, SQLITE, counted):
        done = connection.execute(SQLITE.spell(text), values)
        if text is USE_DIRECTORY and done.rowcount == 0:
            compute, computed = compute_usage(Ino(int(values[-1] or 0)))
            connection.execute(SQLITE.spell(compute), computed)
