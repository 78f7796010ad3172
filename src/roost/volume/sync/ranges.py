"""Where a sync looks: everything, or line by line of a list of files, from where it stood."""

from collections.abc import Callable, Iterable, Iterator
from itertools import dropwhile

from roost.errors import InvalidArgument, Unsupported
from roost.volume.sync.apart import Apart
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.items import Item, order
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.plan import Pair, Planner, Quota, paired


class Ranges:
    """Makes the planners and pairs of a sync."""

    def __init__(
        self,
        source: Endpoint,
        target: Endpoint,
        selection: Selection,
        options: Options,
        quota: Quota,
        apart: Apart,
    ) -> None:
        self._source = source
        self._target = target
        self._selection = selection
        self._options = options
        self._quota = quota
        self._apart = apart
        self._follow = not options.links
        # What is deleted, and replaced, is the link itself, never what it leads to.
        self._follow_target = self._follow and not options.delete_dst

    def head(self, key: str) -> Pair:
        """Return what lies under a key on either side."""
        return (
            self._source.head(key, follow=self._follow),
            self._target.head(key, follow=self._follow_target),
        )

    def planner(self, line: int, *, limited: bool = True) -> Planner:
        """Return what decides about one range."""
        quota = self._quota if limited else Quota(None)
        return Planner(self._selection, self._options, quota, line)

    def everything(self, after: str) -> Iterator[tuple[Planner, Iterator[Pair]]]:
        """Yield the one range of all keys above `after` ("" for all)."""
        yield self._range("", after, 0)

    def of_lines(
        self, lines: Iterable[str], line: int, after: str, absent: Callable[[str], None]
    ) -> Iterator[tuple[Planner, Iterator[Pair]]]:
        """Yield a range for each line from number `line` on, there only what is above `after`.

        A line is a key, or a folder with or without "/"; one that the source does not have is told
        to `absent`.  Raises InvalidArgument for a line that leads out of the root, or to where the
        other side lies.
        """
        for number, text in enumerate(lines, 1):
            key = text.rstrip()
            if number < line or not key:
                continue
            _check_inside(key, number)
            begin = after if number == line else ""
            source, target = self.head(key)
            if source is None:
                absent(key)
                continue
            self._apart.demand_apart(source.key)
            if source.is_folder:
                yield self._range(source.key, begin, number)
            elif not begin:
                yield self.planner(number), iter([(source, target)])

    def _range(self, prefix: str, after: str, line: int) -> tuple[Planner, Iterator[Pair]]:
        planner = self.planner(line)
        pairs = self._pairs(prefix, after)
        if after:
            planner.resume_inside(after, self.head)
        return planner, pairs

    def _pairs(self, prefix: str, after: str) -> Iterator[Pair]:
        start = max(self._selection.start, after, key=order)
        source = self._still_there(self._source.list(prefix, start, follow=self._follow))
        options = self._options
        if options.force_update and not (
            options.delete_dst or options.existing or options.ignore_existing or options.dirs
        ):
            pairs = paired(source, iter(()))  # what lies there does not matter
        else:
            target = self._target.list(prefix, start, follow=self._follow_target)
            pairs = paired(source, _ascending(target, self._target))
        if prefix and not after:
            yield self.head(prefix)
        if after:
            pairs = dropwhile(lambda pair: _order_of(pair) <= order(after), pairs)
        yield from pairs

    def _still_there(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the source's items; raise NotFound at their end if it was taken away meanwhile.

        What is left of the target would else look as if it were gone from the source.
        """
        yield from _ascending(items, self._source)
        self._source.demand_there()


def _ascending(items: Iterator[Item], side: Endpoint) -> Iterator[Item]:
    """Yield the items; raise Unsupported if their keys do not ascend: two sides cannot be merged.

    A key that comes too late would look as if it were gone.
    """
    last: bytes | None = None
    for item in items:
        key = order(item.key)
        if last is not None and key <= last:
            raise Unsupported(f"{side.name} lists names out of order: {item.key!r}")
        last = key
        yield item


def _order_of(pair: Pair) -> bytes:
    item = pair[0] or pair[1]
    assert item is not None
    return order(item.key)


def _check_inside(key: str, number: int) -> None:
    if any(part in ("", ".", "..") for part in key.rstrip("/").split("/")):
        raise InvalidArgument(
            f"line {number} of the list of files: {key!r} is not a path below the source",
            hint='Write paths relative to the source, without a leading "/".',
        )
