"""A state machine: the metadata of an engine against the memory engine, operation by operation.

Both volumes get the same calls; each answer, refusal included, must be the same, and at the end all
records must be.  Inode numbers agree because both count alike.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from roost.errors import RoostError
from roost.testing.clock import ManualClock
from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta.api import Meta
from roost.volume.model import (
    ROOT,
    TRASH,
    Attr,
    AttrChange,
    Caller,
    ChunkNo,
    DeletedFile,
    DirEntry,
    Flag,
    Ino,
    Kind,
    RenameFlag,
    Slice,
    SliceId,
    SliceRef,
    XattrFlag,
)

# Servers of SQL keep the names of attributes as text.
XATTR_NAMES = st.sampled_from([b"a", b"b", b"\xc3\xa9", b"", b"x" * 256])
NAMES = st.sampled_from([b"a", b"b", b"c", b"\xff"])
CALLERS = st.sampled_from(
    [
        Caller(),
        Caller(uid=1000, gid=1000, groups=frozenset({7})),
        Caller(uid=1001, gid=1001),
        Caller(uid=1001, gid=1001, check=False),
    ]
)
_MODES = st.sampled_from([0o777, 0o755, 0o700, 0o1777, 0o2777, 0o6711, 0])
LENGTHS = st.one_of(
    st.integers(0, 9000),
    st.sampled_from([CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7]),
)
_MAYBE = st.none() | st.integers(0, 3)


class MetaMachine(RuleBasedStateMachine):
    """Subclass it and define `open_both`; the volumes have trash."""

    clock: ManualClock
    reference: Meta
    subject: Meta
    skips_dir_times = False
    """Leave times as clients do by default; one that goes by older records writes more of them."""

    def open_both(self) -> None:
        """Set `clock`, `reference` and `subject`."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.open_both()
        if not self.skips_dir_times:
            for meta in (self.reference, self.subject):
                meta._opened.skip_dir_mtime_ns = 0
        self.inos: list[Ino] = [ROOT]
        self.opened: list[Ino] = []
        self.next_slice = 1 << 20

    # ---- comparing
    def both(self, call: Callable[[Meta], Any]) -> Any:
        """Do the same on both and compare what came of it; None for a refusal."""
        answers = []
        for meta in (self.reference, self.subject):
            try:
                answers.append((call(meta), ""))
            except FsError as error:
                answers.append((None, f"errno {error.errno}"))
            except RoostError as error:
                answers.append((None, type(error).__name__))
        assert answers[0] == answers[1]
        return answers[0][0]

    def pick(self, data: st.DataObject) -> Ino:
        """Return an inode that exists or existed."""
        return data.draw(st.sampled_from(self.inos), label="ino")

    def note(self, node: Any) -> None:
        """Remember a node that was made."""
        if node is not None and node.ino not in self.inos:
            self.inos.append(node.ino)

    # ---- operations
    @rule(data=st.data(), name=NAMES, mode=_MODES, caller=CALLERS, exclusive=st.booleans())
    def create(
        self, data: st.DataObject, name: bytes, mode: int, caller: Caller, exclusive: bool
    ) -> None:
        """Make a file."""
        parent = self.pick(data)
        self.note(
            self.both(lambda m: m.create(parent, name, mode, exclusive=exclusive, caller=caller))
        )

    @rule(data=st.data(), name=NAMES, mode=_MODES, caller=CALLERS)
    def mkdir(self, data: st.DataObject, name: bytes, mode: int, caller: Caller) -> None:
        """Make a directory."""
        parent = self.pick(data)
        self.note(self.both(lambda m: m.mkdir(parent, name, mode, caller)))

    @rule(data=st.data(), name=NAMES, caller=CALLERS)
    def symlink_or_fifo(self, data: st.DataObject, name: bytes, caller: Caller) -> None:
        """Make something without data."""
        parent = self.pick(data)
        if data.draw(st.booleans()):
            self.note(self.both(lambda m: m.symlink(parent, name, b"target", caller)))
        else:
            self.note(self.both(lambda m: m.mknod(parent, name, Kind.FIFO, 0o644, caller=caller)))

    @rule(data=st.data(), name=NAMES, caller=CALLERS)
    def link(self, data: st.DataObject, name: bytes, caller: Caller) -> None:
        """Give a node another name."""
        ino, parent = self.pick(data), self.pick(data)
        self.both(lambda m: m.link(ino, parent, name, caller))

    @rule(data=st.data(), name=NAMES, caller=CALLERS, skip_trash=st.booleans())
    def remove(self, data: st.DataObject, name: bytes, caller: Caller, skip_trash: bool) -> None:
        """Remove a name, by either call."""
        parent = self.pick(data)
        if data.draw(st.booleans()):
            self.both(lambda m: m.unlink(parent, name, caller, skip_trash=skip_trash))
        else:
            self.both(lambda m: m.rmdir(parent, name, caller, skip_trash=skip_trash))

    @rule(
        data=st.data(),
        name=NAMES,
        new_name=NAMES,
        flags=st.sampled_from([RenameFlag(number) for number in (0, 0, 1, 2, 3)]),
        caller=CALLERS,
    )
    def rename(
        self, data: st.DataObject, name: bytes, new_name: bytes, flags: RenameFlag, caller: Caller
    ) -> None:
        """Move a name."""
        parent, new_parent = self.pick(data), self.pick(data)
        self.both(lambda m: m.rename(parent, name, new_parent, new_name, flags, caller))

    @rule(data=st.data(), mode=st.none() | _MODES, uid=_MAYBE, gid=_MAYBE, caller=CALLERS)
    def setattr(
        self,
        data: st.DataObject,
        mode: int | None,
        uid: int | None,
        gid: int | None,
        caller: Caller,
    ) -> None:
        """Change attributes."""
        ino = self.pick(data)
        change = AttrChange(mode=mode, uid=uid, gid=gid, mtime_ns=data.draw(_MAYBE))
        self.both(lambda m: m.setattr(ino, change, caller))

    @rule(data=st.data(), flags=st.sampled_from([Flag.NONE, Flag.IMMUTABLE, Flag.SKIP_TRASH]))
    def chattr(self, data: st.DataObject, flags: Flag) -> None:
        """Change flags."""
        ino = self.pick(data)
        self.both(lambda m: m.setattr(ino, AttrChange(flags=int(flags))))

    @rule(data=st.data(), offset=LENGTHS, length=st.integers(1, 5000))
    def write(self, data: st.DataObject, offset: int, length: int) -> None:
        """Append a slice."""
        ino = self.pick(data)
        chunk_no, pos = divmod(offset, CHUNK_BYTES)
        length = min(length, CHUNK_BYTES - pos)
        self.next_slice += 1
        record = Slice(pos, SliceId(self.next_slice), length, 0, length)
        self.both(lambda m: m.write_slice(ino, ChunkNo(chunk_no), record))

    @rule(data=st.data(), length=LENGTHS, caller=CALLERS)
    def truncate(self, data: st.DataObject, length: int, caller: Caller) -> None:
        """Change the length."""
        ino = self.pick(data)
        self.both(lambda m: m.truncate(ino, length, caller))

    @rule(
        data=st.data(),
        name=XATTR_NAMES,
        flags=st.sampled_from(list(XattrFlag)),
        caller=CALLERS,
    )
    def xattr(self, data: st.DataObject, name: bytes, flags: XattrFlag, caller: Caller) -> None:
        """Store or remove an extended attribute."""
        ino = self.pick(data)
        name = b"user." + name if data.draw(st.booleans()) else name
        if data.draw(st.booleans()):
            self.both(lambda m: m.setxattr(ino, name, b"value", flags, caller))
        else:
            self.both(lambda m: m.removexattr(ino, name, caller))

    @rule(data=st.data())
    def open(self, data: st.DataObject) -> None:
        """Hold a file open."""
        ino = self.pick(data)
        if self.both(lambda m: m.open(ino)) is not None:
            self.opened.append(ino)

    @precondition(lambda self: self.opened)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        """Let go of a file."""
        ino = self.opened.pop(data.draw(st.integers(0, len(self.opened) - 1)))
        self.both(lambda m: m.close_file(ino))

    @rule(seconds=st.sampled_from([0.5, 3600, 27 * 3600]))
    def wait(self, seconds: float) -> None:
        """Let time pass, and old trash go."""
        self.clock.advance(seconds)
        self.both(lambda m: m.clean_trash())

    @rule()
    def release(self) -> None:
        """Remove the data of deleted files."""
        for file in self.both(lambda m: m.deleted_files()):
            for ref in self.both(partial(_release, file)):
                self.both(partial(_forget, ref))

    # ---- what must always hold
    @rule(data=st.data(), name=NAMES, caller=CALLERS)
    def look(self, data: st.DataObject, name: bytes, caller: Caller) -> None:
        """Ask for names and attributes."""
        ino = self.pick(data)
        self.both(lambda m: m.getattr(ino))
        self.both(lambda m: m.lookup(ino, name, caller))
        self.both(lambda m: list(m.readdir(ino, with_attrs=True, caller=caller)))
        self.both(lambda m: m.listxattr(ino))

    @invariant()
    def metadata_is_sound(self) -> None:
        """Both pass the check, and use the same."""
        assert self.both(lambda m: m.check()) == ()
        self.both(lambda m: m.statfs())

    def teardown(self) -> None:
        """Compare everything, then close."""
        self.both(lambda m: list(m.list_slices()))
        # An engine need not count what is referred to once.
        self.both(lambda m: [ref for ref in m.list_slice_refs() if ref.refs != 1])
        for ino in [*self.inos, TRASH]:
            self.both(partial(_attr, ino))
            self.both(partial(_names, ino))
        for meta in (self.reference, self.subject):
            meta.close()


def _release(file: DeletedFile, meta: Meta) -> tuple[SliceRef, ...]:
    return meta.release_deleted_file(file)


def _forget(ref: SliceRef, meta: Meta) -> None:
    meta.forget_slice(ref)


def _attr(ino: Ino, meta: Meta) -> Attr:
    return meta.getattr(ino)


def _names(ino: Ino, meta: Meta) -> list[DirEntry]:
    return list(meta.readdir(ino))
