"""Two sorted listings merged into steps, in constant memory.

A folder's last step, LEAVE, comes after everything in it: then its time can be set, or it can be
removed.  The stack holds the folders that the merge is in.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from roost.volume.sync.items import Item, ancestors, order
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.steps import Step, Verb, decide

Pair = tuple[Item | None, Item | None]


def paired(source: Iterator[Item], target: Iterator[Item]) -> Iterator[Pair]:
    """Yield what lies under each key on either side, ascending."""
    marked = heapq.merge(
        ((order(item.key), 0, item) for item in source),
        ((order(item.key), 1, item) for item in target),
        key=lambda entry: entry[:2],
    )
    waiting: tuple[bytes, Item] | None = None
    for key, side, item in marked:
        if side == 0:
            if waiting is not None:
                yield waiting[1], None
            waiting = (key, item)
        elif waiting is not None and waiting[0] == key:
            yield waiting[1], item
            waiting = None
        else:
            if waiting is not None:
                yield waiting[1], None
                waiting = None
            yield None, item
    if waiting is not None:
        yield waiting[1], None


@dataclass(slots=True)
class Quota:
    """How many keys may still be handled; None without end.  Shared by all lines of a list."""

    left: int | None

    def take(self) -> bool:
        """Use up one; False if there is none left."""
        if self.left is None:
            return True
        self.left -= 1
        return self.left >= 0


class Planner:
    """Makes steps of pairs.  One planner walks one range of keys, ascending."""

    def __init__(self, selection: Selection, options: Options, quota: Quota, line: int = 0) -> None:
        self._selection = selection
        self._options = options
        self._quota = quota
        self._line = line
        self._stack: list[Step] = []

    def resume_inside(self, key: str, head: Callable[[str], Pair]) -> None:
        """Put the folders above `key` on the stack, as if they had just been met."""
        for folder in [*ancestors(key), *([key] if key.endswith("/") else [])]:
            source, target = head(folder)
            item = source or target
            if item is not None and self._selection.admits(item):
                self._enter(source, target)

    def steps(self, pairs: Iterator[Pair]) -> Iterator[Step]:
        """Yield the steps of all pairs, and LEAVE steps where folders end.

        What the source has decides: a key that is excluded there is not "extra" on the other side.
        """
        for source, target in pairs:
            item = source or target
            assert item is not None
            if self._selection.is_past(item.key):
                break
            yield from self._left_behind(item.key)
            if not self._selection.admits(item):
                yield Step(Verb.EXCLUDED, item.key, source, target, self._line)
                continue
            verb = decide(source, target, self._options)
            if verb not in (Verb.IGNORE, Verb.EXTRA) and not self._quota.take():
                break
            if item.is_folder:
                self._enter(source, target)
            if verb is not Verb.LEAVE:
                yield Step(verb, item.key, source, target, self._line)
        yield from self._left_behind("")

    def _enter(self, source: Item | None, target: Item | None) -> None:
        options, item = self._options, source or target
        assert item is not None
        if not options.dirs:
            return
        if source is None:
            has_more = options.delete_dst
        else:
            has_more = target is not None or not options.existing
        if has_more:
            self._stack.append(Step(Verb.LEAVE, item.key, source, target, self._line))

    def _left_behind(self, key: str) -> Iterator[Step]:
        """Yield the last steps of the folders that `key` is not in."""
        while self._stack and not (key and key.startswith(self._stack[-1].key)):
            yield self._stack.pop()
