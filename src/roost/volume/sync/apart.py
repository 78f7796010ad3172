"""Sides that overlap: where a sync would eat its own source, or never come to an end."""

from roost.errors import InvalidArgument
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.items import Item, Kind
from roost.volume.sync.options import Options, Selection


def demand_apart(
    source: Endpoint, target: Endpoint, selection: Selection, options: Options
) -> None:
    """Raise InvalidArgument if the sides are one, or if one is to be synced as part of the other.

    A side inside the other that the rules leave out is no matter.
    """
    here, there = source.place, target.place
    if not here or not there:
        return
    if here == there:
        raise InvalidArgument(f"SRC and DST are the same place: {source.name}")
    if options.delete_dst and _is_part(here, there, selection):
        raise InvalidArgument(
            f"{source.name} lies in {target.name}: --delete-dst would delete it",
            hint="Choose another DST, or leave that folder out with --exclude.",
        )
    if _is_part(there, here, selection):
        raise InvalidArgument(
            f"{target.name} lies in {source.name}: it would be copied into itself",
            hint="Choose another DST, or leave that folder out with --exclude.",
        )


def _is_part(inner: tuple[str, ...], outer: tuple[str, ...], selection: Selection) -> bool:
    """True if `inner` is a folder of `outer` that the selection lets through."""
    if len(inner) <= len(outer) or inner[: len(outer)] != outer:
        return False
    key = "/".join(inner[len(outer) :]) + "/"
    return selection.admits(Item(key, Kind.FOLDER))
