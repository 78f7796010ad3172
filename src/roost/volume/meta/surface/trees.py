"""Operations on whole trees: summary, clone, removal, restoring from the trash."""

from roost.volume.meta import clone, restore, summary, tree_removal
from roost.volume.meta.answers import (
    CloneOptions,
    Progress,
    RemoveOptions,
    Summary,
    TrashRestored,
    ignore_progress,
)
from roost.volume.meta.handle import VolumeHandle
from roost.volume.model import SUPERUSER, Caller, Ino, Node


class Trees(VolumeHandle):
    """The operations that take many commits; each says what is left if it stops half way."""

    def summary(
        self, ino: Ino, *, strict: bool = True, progress: Progress = ignore_progress
    ) -> Summary:
        """Return what a tree holds, the node itself included.

        Unless `strict`, files are counted by the statistics of their directories.
        Raises FsError ENOENT.
        """
        return summary.summary(self._volume, ino, strict=strict, progress=progress)

    def clone(
        self,
        source: Ino,
        parent: Ino,
        name: bytes,
        caller: Caller = SUPERUSER,
        *,
        options: CloneOptions | None = None,
        progress: Progress = ignore_progress,
    ) -> Node:
        """Copy a file or a tree without copying data, and return the copy.

        A file is copied as of one moment; a tree file by file.  The copy of a tree appears under
        `name` only when it is complete; what a stopped clone leaves is removed at once, or by
        `clean_detached` a day later.  Hard links become files of their own.
        Raises FsError: ENOENT, EEXIST, EACCES, EPERM the trash, ENOSPC, EDQUOT.
        """
        task = clone.CloneTask(parent, name, caller, options or CloneOptions(), progress)
        return clone.clone(self._writable, source, task)

    def clean_detached(self, older_than_s: int = 24 * 3600) -> int:
        """Remove unfinished clones at least so old; return how many."""
        return clone.clean_detached(self._writable, older_than_s)

    def remove_tree(
        self,
        parent: Ino,
        name: bytes,
        caller: Caller = SUPERUSER,
        *,
        options: RemoveOptions | None = None,
    ) -> int:
        """Remove a name and all below it, and return how many names went.

        Many names go in one commit.  What is removed before it stops or fails stays removed; it
        stops between two commits when `should_stop` says so, with FsError EINTR.
        Raises FsError: as unlink and rmdir.
        """
        return tree_removal.remove_tree(
            self._writable, parent, name, caller, options or RemoveOptions()
        )

    def restore(
        self,
        hour: bytes,
        *,
        put_back: bool = False,
        threads: int = 10,
        progress: Progress = ignore_progress,
    ) -> TrashRestored:
        """Put back what was deleted in the hour `YYYY-MM-DD-HH` (UTC).

        Without `put_back` only into directories that lie in the same hour of the trash, so that
        the trees there are whole again; with it, into the original directories.
        Raises FsError ENOENT no such hour.
        """
        return restore.restore(self._writable, hour, put_back, threads, progress)
