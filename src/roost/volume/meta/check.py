"""The check of a volume's metadata: every rule that ties two records together.

Changes nothing.  Memory is constant but for sixteen bytes a directory and what is found.
"""

from collections.abc import Callable, Iterator

from roost.volume.meta.check_names import NameCheck
from roost.volume.meta.check_slices import RefCheck, SliceTables
from roost.volume.meta.damage import Unread, tell_damage
from roost.volume.meta.judge import Judge
from roost.volume.meta.txn import Engine
from roost.volume.model import Problem
from roost.volume.sorted_records import ranges

Progress = Callable[[int, int], None]
"""Told (done, in all)."""


def check(engine: Engine, progress: Progress = lambda _done, _all: None) -> tuple[Problem, ...]:
    """Return all problems found; those that are not fatal are statistics that drifted."""
    return tuple(problems(engine, progress))


def problems(engine: Engine, progress: Progress) -> Iterator[Problem]:
    """Yield problems as they are found."""
    tables = SliceTables()
    told: list[Problem] = []
    unread = Unread(told.append)
    try:
        with engine.scan() as scans:
            tell_damage(scans, unread.tell)
            tables.read(scans, told=unread.tell)
            yield from tables.far
            names = NameCheck(scans, Judge(engine, unread.inos), progress, unread)
            yield from names.run(tables.owners)
        yield from told
        refs = RefCheck(engine)
        for used, counted in ranges(tables.used, tables.counted):
            yield from refs.judge(used, counted)
        yield from refs.finish()
    finally:
        tables.close()
