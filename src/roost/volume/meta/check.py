"""The check of a volume's metadata: every rule that ties two records together.

Changes nothing.  Memory is constant but for sixteen bytes a directory and what is found.
"""

from collections.abc import Callable, Iterator

from roost.volume.meta.check_names import NameCheck
from roost.volume.meta.check_slices import RefCheck, SliceTables
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
    try:
        with engine.scan() as scans:
            tables.read(scans)
            yield from tables.far
            yield from NameCheck(scans, Judge(engine), progress).run(tables.owners)
        refs = RefCheck(engine)
        for used, counted in ranges(tables.used, tables.counted):
            yield from refs.judge(used, counted)
        yield from refs.finish()
    finally:
        tables.close()
