"""The state machine of the metadata with the operations beyond plain POSIX names and data.

Clones, trees, copies, holes, appends, quotas, ACLs, locks, compactions: see meta_machine for how
two volumes are compared.  After every step the whole check runs, so each account (volume, owners,
directories, quotas) must be exact.
"""

from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from roost.testing.meta_machine import CALLERS, LENGTHS, NAMES, MetaMachine
from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta import acl
from roost.volume.meta.answers import CloneOptions, FallocateFlag, RemoveOptions
from roost.volume.meta.api import Meta
from roost.volume.model import (
    ACL_NOT_SET,
    ROOT,
    TRASH,
    AclRule,
    Caller,
    ChunkNo,
    DeletedFile,
    Ino,
    LockKind,
    QuotaKind,
    RangeLock,
    Slice,
    SliceId,
    XattrFlag,
)

_BITS = st.integers(0, 7)
_RULES = st.builds(
    AclRule,
    owner=_BITS,
    group=_BITS,
    mask=_BITS,
    other=_BITS,
    named_users=st.sampled_from([(), ((1000, 7),), ((1001, 5), (1002, 0))]),
    named_groups=st.sampled_from([(), ((7, 6),)]),
) | st.builds(AclRule, owner=_BITS, group=_BITS, other=_BITS, mask=st.just(ACL_NOT_SET))
_ACL_NAMES = st.sampled_from(acl.NAMES)
_FLAGS = st.sampled_from([0, 1, 2, 3, 8, 0x10, 0x11, 0x20])
_OWNERS = st.sampled_from([0, 1, 2**64 - 1])
_LOCK_KINDS = st.sampled_from(list(LockKind))
_LIMITS = st.sampled_from([None, 0, 3, 6])


class FullMetaMachine(MetaMachine):
    """Subclass it and define `open_both`; the volumes have trash and ACLs."""

    # ---- data
    @rule(data=st.data(), flags=_FLAGS, offset=LENGTHS, length=LENGTHS, caller=CALLERS)
    def fallocate(
        self, data: st.DataObject, flags: int, offset: int, length: int, caller: Caller
    ) -> None:
        """Grow a file or make holes."""
        ino = self.pick(data)
        self.both(lambda m: m.fallocate(ino, FallocateFlag(flags), offset, length, caller))

    @rule(data=st.data(), offset=LENGTHS, to=LENGTHS, length=LENGTHS, caller=CALLERS)
    def copy_range(
        self, data: st.DataObject, offset: int, to: int, length: int, caller: Caller
    ) -> None:
        """Let a file show a part of another."""
        source, target = self.pick(data), self.pick(data)
        self.both(lambda m: m.copy_range(source, offset, target, to, length, caller))

    @rule(data=st.data(), length=st.sampled_from([1, 4096, 5000, CHUNK_BYTES]))
    def append(self, data: st.DataObject, length: int) -> None:
        """Append wherever the end is."""
        ino = self.pick(data)
        self.next_slice += 1
        slice_id = SliceId(self.next_slice)
        self.both(lambda m: m.append_slice(ino, slice_id, length))

    @rule(data=st.data(), skip=st.integers(0, 1), chunk=st.integers(0, 1), stale=st.booleans())
    def compact(self, data: st.DataObject, skip: int, chunk: int, stale: bool) -> None:
        """Put one slice in the place of a chunk's oldest records."""
        ino = self.pick(data)
        records = self.both(lambda m: m.read_chunk(ino, ChunkNo(chunk))) or ()
        skipped, replaced = records[:skip], records[skip:-1] if stale else records[skip:]
        if len(replaced) < 2:
            return
        pos = min(record.pos for record in replaced)
        size = max(record.end for record in replaced) - pos
        self.next_slice += 1
        new = Slice(pos, SliceId(self.next_slice), size, 0, size)
        if stale:
            skipped, replaced = replaced[:1], replaced
        self.both(lambda m: m.replace_slices(ino, ChunkNo(chunk), skipped, replaced, new))

    @rule()
    def release_delayed(self) -> None:
        """Let go of what the trash kept for compactions."""
        for delayed in self.both(lambda m: m.delayed_slices(1 << 60)):
            for ref in self.both(partial(_release_delayed, delayed)):
                self.both(partial(_forget, ref))

    # ---- trees
    @rule(data=st.data(), name=NAMES, caller=CALLERS, preserve=st.booleans(), umask=st.just(0o27))
    def clone(
        self, data: st.DataObject, name: bytes, caller: Caller, preserve: bool, umask: int
    ) -> None:
        """Copy a file or a tree."""
        source, parent = self.pick(data), self.pick(data)
        options = CloneOptions(preserve=preserve, umask=umask, threads=1)
        self.note(self.both(lambda m: m.clone(source, parent, name, caller, options=options)))

    @rule(data=st.data(), name=NAMES, caller=CALLERS, skip_trash=st.booleans())
    def remove_tree(
        self, data: st.DataObject, name: bytes, caller: Caller, skip_trash: bool
    ) -> None:
        """Remove a tree; the deleted files that are told must agree too."""
        parent = self.pick(data)
        self.both(partial(_remove_tree, parent, name, caller, skip_trash))

    @rule(put_back=st.booleans())
    def restore(self, put_back: bool) -> None:
        """Put the trash back."""
        for entry in self.both(lambda m: list(m.readdir(TRASH))) or ():
            self.both(partial(_restore, entry.name, put_back))

    @rule(data=st.data(), strict=st.booleans())
    def summary(self, data: st.DataObject, strict: bool) -> None:
        """Count a tree, both ways."""
        ino = self.pick(data)
        counted = self.both(lambda m: m.summary(ino, strict=strict))
        assert counted == self.both(lambda m: m.summary(ino, strict=not strict))

    @rule(data=st.data(), caller=CALLERS)
    def create_nameless(self, data: st.DataObject, caller: Caller) -> None:
        """Make a file without a name."""
        parent = self.pick(data)
        node = self.both(lambda m: m.create_nameless(parent, caller=caller))
        if node is not None:
            self.note(node)
            self.opened.append(node.ino)

    # ---- accounts
    @rule(data=st.data(), kind=st.sampled_from(list(QuotaKind)), inodes=_LIMITS, pages=_LIMITS)
    def set_quota(
        self, data: st.DataObject, kind: QuotaKind, inodes: int | None, pages: int | None
    ) -> None:
        """Limit a tree, a user or a group."""
        key = self._key(data, kind)
        space = None if pages is None else 4096 * pages
        self.both(
            lambda m: m.quota_set(kind, key, inodes_max=inodes, space_bytes_max=space, strict=True)
        )

    @rule(data=st.data(), kind=st.sampled_from(list(QuotaKind)))
    def look_at_quotas(self, data: st.DataObject, kind: QuotaKind) -> None:
        """Ask for quotas, and have them checked."""
        key = self._key(data, kind)
        self.both(lambda m: m.quota_get(kind, key))
        self.both(lambda m: m.quota_list())
        for check in self.both(lambda m: m.quota_check(kind)):
            assert check.is_consistent or not self.reference.settings.user_group_quota
        self.both(lambda m: m.statfs(key if kind is QuotaKind.DIRECTORY else ROOT))

    @rule(data=st.data(), kind=st.sampled_from(list(QuotaKind)))
    def delete_quota(self, data: st.DataObject, kind: QuotaKind) -> None:
        """Lift a quota."""
        key = self._key(data, kind)
        self.both(lambda m: m.quota_delete(kind, key))

    @rule(data=st.data())
    def sync_dir_stats(self, data: st.DataObject) -> None:
        """Have statistics checked and mended."""
        ino = self.pick(data)
        done = self.both(lambda m: m.sync_dir_stats(ino, repair=True))
        assert done is None or not done.wrong

    # ---- ACLs
    @rule(data=st.data(), name=_ACL_NAMES, acl_rule=_RULES, caller=CALLERS)
    def set_acl(self, data: st.DataObject, name: bytes, acl_rule: AclRule, caller: Caller) -> None:
        """Give a node a list."""
        ino = self.pick(data)
        value = acl.encode_xattr(acl_rule)
        self.both(lambda m: m.setxattr(ino, name, value, XattrFlag.NONE, caller))
        self.both(lambda m: m.getxattr(ino, name))

    @rule(data=st.data(), name=_ACL_NAMES, caller=CALLERS)
    def remove_acl(self, data: st.DataObject, name: bytes, caller: Caller) -> None:
        """Take a list away."""
        ino = self.pick(data)
        self.both(lambda m: m.removexattr(ino, name, caller))

    # ---- locks
    @rule(data=st.data(), owner=_OWNERS, kind=_LOCK_KINDS)
    def flock(self, data: st.DataObject, owner: int, kind: LockKind) -> None:
        """Lock a file, or let go."""
        ino = self.pick(data)
        self.both(lambda m: m.flock(ino, owner, kind))

    @rule(
        data=st.data(),
        owner=_OWNERS,
        kind=_LOCK_KINDS,
        start=st.integers(0, 8),
        length=st.integers(1, 8),
    )
    def set_lock(
        self, data: st.DataObject, owner: int, kind: LockKind, start: int, length: int
    ) -> None:
        """Lock a range, or let go, and ask who is in the way."""
        ino = self.pick(data)
        lock = RangeLock(kind, 77, start, start + length - 1)
        self.both(lambda m: m.set_lock(ino, owner, lock))
        self.both(lambda m: m.get_lock(ino, owner + 1, lock))

    @precondition(lambda self: self.opened)
    @rule(data=st.data(), owner=_OWNERS)
    def release_locks(self, data: st.DataObject, owner: int) -> None:
        """Let go of all, as closing does."""
        ino = data.draw(st.sampled_from(self.opened))
        self.both(lambda m: m.release_locks(ino, owner, flock_owner=owner))

    def _key(self, data: st.DataObject, kind: QuotaKind) -> Any:
        if kind is QuotaKind.DIRECTORY:
            return self.pick(data)
        return data.draw(st.sampled_from([0, 1000, 1001, 7]), label="id")


def _remove_tree(
    parent: Ino, name: bytes, caller: Caller, skip_trash: bool, meta: Meta
) -> tuple[int, list[DeletedFile]]:
    deleted: list[DeletedFile] = []
    options = RemoveOptions(skip_trash=skip_trash, threads=1, on_deleted=deleted.append)
    return meta.remove_tree(parent, name, caller, options=options), deleted


def _restore(hour: bytes, put_back: bool, meta: Meta) -> Any:
    return meta.restore(hour, put_back=put_back, threads=1)


def _release_delayed(delayed: Any, meta: Meta) -> Any:
    return meta.release_delayed_slices(delayed)


def _forget(ref: Any, meta: Meta) -> None:
    meta.forget_slice(ref)
