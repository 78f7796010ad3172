"""Walking a tree in the order of keys, from a start key on: the same for every kind of tree.

Memory: the names of the folders on the way to where the walk is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from roost.volume.sync.items import Item, is_ours, name_of, order

ListFolder = Callable[[str], Sequence["Found"]]
"""Returns what is in the folder with that key ("" is the root); an absent folder is empty."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry of a folder: its key, a folder's with "/", and how to learn the rest of it.

    `item` returns None for what vanished.
    """

    key: str
    item: Callable[[], Item | None]


def walk(list_folder: ListFolder, prefix: str, start: str) -> Iterator[Item]:
    """Yield all items below the folder `prefix` whose key is not below `start`, ascending."""
    begin = order(start)
    stack = [_sorted(list_folder, prefix)]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        key = order(found.key)
        is_folder = found.key.endswith("/")
        leads_to_start = is_folder and begin.startswith(key)
        if key < begin and not leads_to_start:
            continue  # a whole folder that lies before the start is not even listed
        item = found.item()
        if item is None or item.key != found.key:  # it vanished, or became something else
            continue
        if key >= begin:
            yield item
        if is_folder:
            stack.append(_sorted(list_folder, found.key))


def _sorted(list_folder: ListFolder, folder: str) -> Iterator[Found]:
    found = [one for one in list_folder(folder) if not is_ours(name_of(one.key))]
    found.sort(key=lambda one: order(one.key))
    return iter(found)
