"""Sides that overlap: where a sync would eat its own source, or never come to an end.

What counts is where a key really is on either side, whatever links lead there.  The sides are
compared before anything is touched, a line of a list of files when its turn comes, and every folder
once more before something in it is written or deleted: a link below a root may lead to the other.
"""

import re
import shlex
from functools import lru_cache

from roost.errors import InvalidArgument
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.items import Item, Kind, order
from roost.volume.sync.location import Location
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.rules import excludes_all
from roost.volume.sync.steps import Step, Verb

_FOLDERS_KEPT = 1024
_SPECIAL = re.compile(r"([\\*?\[])")


class Apart:
    """Tells where two sides are in each other's way.  Safe to call from several threads.

    A side inside the other that the rules or the range leave out is no matter.
    """

    def __init__(
        self, source: Endpoint, target: Endpoint, selection: Selection, options: Options
    ) -> None:
        """Find out where the sides are."""
        self._source = source
        self._target = target
        self._selection = selection
        self._options = options
        self._here = source.location_of("")
        self._there = target.location_of("")
        self._read_at = lru_cache(_FOLDERS_KEPT)(source.location_of)
        self._of_folder = lru_cache(_FOLDERS_KEPT)(self._find_out)

    def demand_different(self) -> None:
        """Raise InvalidArgument if the sides are one."""
        if self._here.key_in(self._there) == "":
            raise InvalidArgument(f"SRC and DST are the same place: {self._source.name}")

    def demand_apart(self, key: str = "") -> None:
        """Raise InvalidArgument if one side is to be synced as part of the other.

        `key` is what is synced, a file or a folder; "" for everything.
        """
        if self._here.space != self._there.space:
            return
        if not key or key.endswith("/"):
            self._demand_no_part(key)
        problem = self._of_folder(_folder_of(key))
        if problem:
            raise InvalidArgument(f"{key or 'DST'}: {problem}", hint=_hint(key))

    def demand_step(self, step: Step) -> None:
        """Raise InvalidArgument if the step would touch one side as part of the other."""
        if self._here.space != self._there.space:
            return
        problem = self._of_folder(_folder_of(step.key), is_read=step.source is not None)
        if not problem and step.source is not None and step.source.kind is Kind.FILE:
            problem = self._of_file(step)
        if problem:  # whoever tells of it names the key
            raise InvalidArgument(problem, hint=_hint(step.key))

    def _demand_no_part(self, folder: str) -> None:
        here, there = self._here, self._there
        written, read = self._target.location_of(folder), self._source.location_of(folder)
        plain = folder.rstrip("/")
        if (read.key_in(here), written.key_in(there)) != (plain, plain):
            return  # behind links each folder is judged alone
        inner = here.key_in(there)
        if self._options.delete_dst and written.overlaps(here) and self._is_part(inner):
            raise InvalidArgument(
                f"{self._source.name} lies in {self._target.name}: --delete-dst would delete it",
                hint=_hint(f"{inner}/"),
            )
        inner = there.key_in(here)
        if read.overlaps(there) and self._is_part(inner):
            raise InvalidArgument(
                f"{self._target.name} lies in {self._source.name}: it would be copied into itself",
                hint=_hint(f"{inner}/"),
            )

    def _of_file(self, step: Step) -> str:
        """Return what is wrong with a file that must not be a link to the other one, or ""."""
        inplace, key = self._options.inplace, step.key
        compares = step.verb in (Verb.DELETE_SOURCE, Verb.COMPARE)
        if not inplace and not (compares and self._options.delete_src):
            return ""  # the copy takes the place of a link
        read = self._source.location_of(key) if inplace else self._read_at(_folder_of(key))
        written = self._target.location_of(key)
        if inplace and read.is_same_file(written):
            return "both sides have one file by two names, which would be written over itself"
        return self._conflict(read, written)

    def _find_out(self, folder: str, *, is_read: bool = True) -> str:
        """Return what is wrong with what is in a folder, ""; what is only deleted is not read."""
        read = self._read_at(folder) if is_read else self._here
        return self._conflict(read, self._target.location_of(folder))

    def _conflict(self, read: Location, written: Location) -> str:
        """Return what is wrong if one key is read and written there, "" if nothing is.

        Of two sides that lie in each other everything does: then only what links change counts.
        """
        here, there = self._here, self._there
        if written.lies_in(here) and not (there.lies_in(here) and written.lies_in(there)):
            return f"at {self._target.name} it leads into {self._source.name}"
        if read.lies_in(there) and not (here.lies_in(there) and read.lies_in(here)):
            return f"at {self._source.name} it leads into {self._target.name}"
        is_inside = read.lies_in(here) and written.lies_in(there)
        if not is_inside and read.overlaps(written):
            return "links lead there from both sides: it would be copied into itself"
        return ""

    def _is_part(self, inner: str | None) -> bool:
        """True if the selection lets something in the folder `inner` through."""
        if not inner:
            return False
        key = f"{inner}/"
        begin = order(self._selection.start)
        ends_before = order(key) < begin and not begin.startswith(order(key))
        if ends_before or self._selection.is_past(key):
            return False
        if self._selection.match_full_path:  # each path in it is judged alone
            return not excludes_all(self._selection.rules, key)
        return self._selection.admits(Item(key, Kind.FOLDER))


def _folder_of(key: str) -> str:
    """Return the key itself if it is a folder's, else that of the folder it is in."""
    return key[: key.rfind("/") + 1]


def _hint(key: str) -> str:
    """Return how to leave a key out, safe under either meaning of the rules."""
    if not key:
        return "Choose another DST."
    pattern = "/" + _SPECIAL.sub(r"\\\1", key) + ("***" if key.endswith("/") else "")
    return f"Choose another DST, or put --exclude {shlex.quote(pattern)} before all other rules."
