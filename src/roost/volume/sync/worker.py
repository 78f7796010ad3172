"""What a step does when its turn comes.  Runs on several threads; holds no state of its own."""

from dataclasses import dataclass, replace
from typing import Protocol

from roost.errors import CorruptRecord
from roost.volume.sync.apart import Apart
from roost.volume.sync.copying import Changed, Copier, is_not_empty
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.items import Item, Kind, ancestors
from roost.volume.sync.options import Options
from roost.volume.sync.steps import Step, Verb, needs_mode
from roost.volume.sync.tally import Tally

_NOT_WRITTEN_TO = (Kind.LINK, Kind.OTHER)
"""Kinds that make room for a file: else it would be written through a link, or into a pipe."""


class Watcher(Protocol):
    """Who wants to know.  `planned` comes from the thread that decides, `failed` from any."""

    def planned(self, step: Step) -> None:
        """A dry run would do this."""
        ...

    def failed(self, key: str, error: Exception) -> None:
        """This key could not be done."""
        ...

    def moved(self, tally: Tally) -> None:
        """Some time has passed; called a few times a second by the thread that decides."""
        ...


@dataclass(frozen=True, slots=True)
class Worker:
    """Performs steps.  Every method may raise OSError and RoostError."""

    source: Endpoint
    target: Endpoint
    options: Options
    copier: Copier
    tally: Tally
    apart: Apart

    def perform(self, step: Step) -> None:
        """Do what the step says, and count it."""
        self.apart.demand_step(step)
        if step.verb is Verb.COPY:
            self._copy(step)
        elif step.verb is Verb.COMPARE:
            self._compare(step)
        elif step.verb is Verb.MAKE_FOLDER:
            self.target.make_folder(step.key)
            self.tally.add("copied")
        elif step.verb is Verb.SET_MODE:
            assert step.source is not None
            self.target.set_mode(step.source)
            self.tally.add("copied")
        elif step.verb is Verb.DELETE_SOURCE:
            self._delete_at_source(step.key)
        elif step.verb is Verb.DELETE_TARGET:
            self._delete_extra(step.key)
        elif step.verb is Verb.LEAVE:
            self._leave(step)

    def _copy(self, step: Step) -> None:
        item, options = step.source, self.options
        assert item is not None
        if item.kind is Kind.LINK:
            self.target.make_link(item.key, item.target)
        else:
            if options.inplace and step.target is not None and step.target.kind in _NOT_WRITTEN_TO:
                self.target.delete(item.key)
            total = self.copier.copy(item if options.perms else replace(item, mode=None))
            try:
                if options.check_change:
                    self.copier.check_unchanged(item, follow=not options.links)
                if options.checks_copies:
                    self.copier.verify(item, total)
                    self.tally.add("checked", size_bytes=item.size_bytes)
            except (Changed, CorruptRecord):
                self.target.delete(item.key)  # of the right size, it would pass for a good copy
                raise
            if options.perms:
                self.target.set_mode(item)
        self.tally.add("copied", size_bytes=item.size_bytes)
        if options.delete_src_after:
            self._delete_at_source(item.key)

    def _compare(self, step: Step) -> None:
        item, copy = step.source, step.target
        assert item is not None
        assert copy is not None
        mine = self.copier.sum_of(self.source, item.key)
        equal = mine == self.copier.sum_of(self.target, item.key)
        self.tally.add("checked", size_bytes=item.size_bytes)
        if not equal:
            self._copy(step)
        elif self.options.delete_src:
            self._delete_at_source(item.key)
        elif self.options.perms and needs_mode(item, copy):
            self.target.set_mode(item)
            self.tally.add("copied")
        else:
            self.tally.add("skipped", size_bytes=item.size_bytes)

    def _delete_at_source(self, key: str) -> None:
        """Delete what the target has, which must still be the one that it was copied to."""
        self.target.demand_there()
        self.source.delete(key)
        self.tally.add("deleted")

    def _delete_extra(self, key: str) -> None:
        """Delete what the source lacks, once it has said so about this key itself.

        A listing may be wrong, or old: what it did not bring is no reason to lose the last copy.
        """
        self._demand_extra(key)
        self.target.delete(key)
        self.tally.add("deleted")

    def _demand_extra(self, key: str) -> None:
        if self._source_has(key):
            raise Changed(f"{key} is at the source, though its listing lacked it: not deleted")

    def _source_has(self, key: str) -> bool:
        """True if a listing of the source would bring the key: links count as they do there."""
        follow = not self.options.links
        found = self.source.head(key, follow=follow)
        if found is None or found.key != key:
            return False
        if follow:
            return True
        above = (self.source.head(folder, follow=False) for folder in ancestors(key))
        return all(item is not None and item.is_folder for item in above)

    def _leave(self, step: Step) -> None:
        if step.source is None:
            self._demand_extra(step.key)
            if self._remove_folder(self.target, step.key):
                self.tally.add("found")
                self.tally.add("deleted")
            return
        self._finish_folder(step.source)
        options = self.options
        removes = options.delete_src_after or (options.delete_src and step.target is not None)
        if removes:
            self.target.demand_there()
            if self._remove_folder(self.source, step.key):
                self.tally.add("deleted")

    def _finish_folder(self, item: Item) -> None:
        """Give the folder its mode and time, now that nothing more is made in it."""
        copy = self.target.head(item.key, follow=not self.options.links)
        if copy is None or not copy.is_folder:
            return
        if self.options.perms and needs_mode(item, copy):
            self.target.set_mode(item)
        if item.mtime_ns != copy.mtime_ns:
            self.target.set_time(item.key, item.mtime_ns)

    def _remove_folder(self, endpoint: Endpoint, key: str) -> bool:
        """Remove a folder unless something that is not to be removed is left in it."""
        try:
            endpoint.delete(key)
        except OSError as error:
            if not is_not_empty(error):
                raise
            return False
        return True
