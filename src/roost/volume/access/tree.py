"""Walking a tree: all below a folder, by name patterns, and as os.walk does it.

Everything here reads folders with their attributes, so that a tree of n folders costs n listings
and no question per file.
"""

import fnmatch
import re
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import lru_cache

from roost.volume.access.entries import Entry

List = Callable[[str], list[Entry]]
"""Returns a folder's entries in order of name.  Raises OSError."""

LISTINGS_MAX = 8
"""Folders that one wide scan lists at a time: the wait for one hides behind the others."""

_MAGIC = re.compile("[*?[]")


def joined(folder: str, name: str) -> str:
    """Return the path of `name` in `folder`."""
    return f"{folder.rstrip('/')}/{name}" if folder else name


def scan(list_folder: List, top: str, depth_max: int | None = None) -> Iterator[Entry]:
    """Yield everything below `top`, a folder before what is in it; links are not followed.

    The order is that of the names, folder by folder.  A folder that vanishes meanwhile counts as
    empty.  `depth_max` 1 yields what is in `top` itself.
    """
    stack = [iter(list_folder(top))]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        yield entry
        if entry.is_dir() and (depth_max is None or len(stack) < depth_max):
            try:
                stack.append(iter(list_folder(entry.path)))
            except (FileNotFoundError, NotADirectoryError):
                continue


def scan_wide(list_folder: List, top: str, depth_max: int | None = None) -> Iterator[Entry]:
    """Yield what `scan` yields, in no order, with several folders being listed at a time.

    At most `LISTINGS_MAX` listings are under way or wait to be yielded.
    """
    first = list_folder(top)
    yield from first
    folders = [(e.path, 1) for e in first if e.is_dir()]
    under_way: set[Future[tuple[int, list[Entry]]]] = set()

    def listed(path: str, depth: int) -> tuple[int, list[Entry]]:
        try:
            return depth + 1, list_folder(path)
        except (FileNotFoundError, NotADirectoryError):  # it vanished: it is empty
            return depth + 1, []

    with ThreadPoolExecutor(LISTINGS_MAX, "roost-scan") as pool:
        while folders or under_way:
            while folders and len(under_way) < LISTINGS_MAX:
                path, depth = folders.pop()
                if depth_max is None or depth < depth_max:
                    under_way.add(pool.submit(listed, path, depth))
            if not under_way:
                continue
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                depth, entries = future.result()
                yield from entries
                folders += [(e.path, depth) for e in entries if e.is_dir()]


def walk(
    list_folder: List,
    folder_ino: Callable[[str], int | None],
    top: str,
    *,
    topdown: bool,
    onerror: Callable[[OSError], object] | None,
    followlinks: bool,
    above: frozenset[int] = frozenset(),
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield (folder, names of folders, other names).  Source: os.walk, with its rules.

    `folder_ino` returns the inode of the folder that a path leads to, None if it is none.  Unlike
    os.walk, a link to a folder that the walk is in is not followed: the walk ends.
    """
    try:
        entries = list_folder(top)
    except OSError as error:
        if onerror is not None:
            onerror(error)
        return
    links = {e.name: folder_ino(e.path) for e in entries if e.is_symlink()}
    folders = [e.name for e in entries if e.is_dir() or links.get(e.name) is not None]
    others = [e.name for e in entries if not e.is_dir() and links.get(e.name) is None]
    if topdown:
        yield top, folders, others
    if followlinks:
        here = folder_ino(top)
        above = above if here is None else above | {here}
    for name in list(folders):
        if name in links and (not followlinks or links[name] in above):
            continue
        yield from walk(
            list_folder,
            folder_ino,
            joined(top, name),
            topdown=topdown,
            onerror=onerror,
            followlinks=followlinks,
            above=above,
        )
    if not topdown:
        yield top, folders, others


def glob(
    list_folder: List,
    exists: Callable[[str], bool],
    is_folder: Callable[[str], bool],
    pattern: str,
    *,
    include_hidden: bool,
) -> Iterator[str]:
    """Yield the paths that match.  Source: glob.iglob with recursive=True.

    "**" as a whole part matches any number of folders, none of them through a link; a name that
    begins with a dot is matched only by a part that begins with one, unless `include_hidden`.
    """
    start = "/" if pattern.startswith("/") else ""
    parts = [part for part in pattern.split("/") if part]
    if pattern.endswith("/") and parts:
        parts.append("")
    matcher = _Matcher(list_folder, exists, is_folder, include_hidden)
    yield from matcher.below(start, parts)


class _Matcher:
    """One glob under way."""

    def __init__(
        self,
        list_folder: List,
        exists: Callable[[str], bool],
        is_folder: Callable[[str], bool],
        include_hidden: bool,
    ) -> None:
        self._list_folder = list_folder
        self._exists = exists
        self._is_folder = is_folder
        self._include_hidden = include_hidden

    def below(self, base: str, parts: list[str]) -> Iterator[str]:
        """Yield what matches `parts` below the folder `base` ("" is the root, unwritten)."""
        if not parts:
            if base:
                yield base
            return
        part, rest = parts[0], parts[1:]
        if part == "":
            if base and self._is_folder(base):
                yield joined(base, "")
        elif part == "**":
            while rest and rest[0] == "**":
                rest = rest[1:]
            if not rest and base and self._is_folder(base):
                yield joined(base, "")
            yield from self._any_depth(base, rest)
        elif _MAGIC.search(part):
            for entry in self._matching(base, part):
                if not rest:
                    yield entry.path
                elif entry.is_dir() or (entry.is_symlink() and self._is_folder(entry.path)):
                    yield from self.below(entry.path, rest)
        else:
            path = joined(base, part)
            if rest or self._exists(path):
                yield from self.below(path, rest)

    def _any_depth(self, base: str, rest: list[str]) -> Iterator[str]:
        if rest:
            yield from self.below(base, rest)
        for entry in self._entries(base):
            if not self._shown(entry.name):
                continue
            if not rest:
                yield entry.path
            if entry.is_dir():
                yield from self._any_depth(entry.path, rest)

    def _matching(self, base: str, part: str) -> list[Entry]:
        wanted = _compiled(part)
        dotted = part.startswith(".")
        return [
            entry
            for entry in self._entries(base)
            if (dotted or self._shown(entry.name)) and wanted.match(entry.name)
        ]

    def _shown(self, name: str) -> bool:
        return self._include_hidden or not name.startswith(".")

    def _entries(self, base: str) -> list[Entry]:
        try:
            return self._list_folder(base)
        except OSError:  # as glob: what cannot be listed has no names
            return []


@lru_cache(maxsize=256)
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))
