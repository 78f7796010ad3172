"""Sides that overlap: where a sync would eat its own source, or never come to an end."""

from roost.errors import InvalidArgument
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.items import Item, Kind, order
from roost.volume.sync.options import Options, Selection

Parts = tuple[str, ...]


def demand_two(source: Endpoint, target: Endpoint) -> None:
    """Raise InvalidArgument if the sides are one."""
    if source.place and source.place == target.place:
        raise InvalidArgument(f"SRC and DST are the same place: {source.name}")


def demand_apart(
    source: Endpoint, target: Endpoint, selection: Selection, options: Options, folder: str = ""
) -> None:
    """Raise InvalidArgument if one side is to be synced as part of the other.

    `folder` is the key of what is synced, "" for everything.  A side inside the other that the
    rules or the range leave out is no matter.
    """
    here, there = source.place, target.place
    if not here or not there:
        return
    below = tuple(folder.split("/")[:-1])
    if options.delete_dst and _touch((*there, *below), here) and _is_part(here, there, selection):
        raise InvalidArgument(
            f"{source.name} lies in {target.name}: --delete-dst would delete it",
            hint="Choose another DST, or leave that folder out with --exclude.",
        )
    if _touch((*here, *below), there) and _is_part(there, here, selection):
        raise InvalidArgument(
            f"{target.name} lies in {source.name}: it would be copied into itself",
            hint="Choose another DST, or leave that folder out with --exclude.",
        )


def _touch(one: Parts, other: Parts) -> bool:
    """True if one place lies in the other, or is it."""
    return all(mine == its for mine, its in zip(one, other, strict=False))


def _is_part(inner: Parts, outer: Parts, selection: Selection) -> bool:
    """True if `inner` is a folder of `outer` that the selection lets through, or part of it."""
    if len(inner) <= len(outer) or not _touch(inner, outer):
        return False
    key = "/".join(inner[len(outer) :]) + "/"
    begin = order(selection.start)
    ends_before = order(key) < begin and not begin.startswith(order(key))
    if ends_before or selection.is_past(key):
        return False
    return selection.admits(Item(key, Kind.FOLDER))
