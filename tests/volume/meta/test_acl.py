"""POSIX access control lists: as attributes, in permission checks, and what children get."""

import errno
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from roost.errors import CorruptRecord
from roost.testing.clock import ManualClock
from roost.volume.errors import FsError
from roost.volume.meta import acl
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.effects import ChangeNode, NodeChange
from roost.volume.model import (
    ACL_NOT_SET,
    ROOT,
    AclRule,
    AttrChange,
    Caller,
    Flag,
    Ino,
    Kind,
    Node,
    XattrFlag,
)
from roost.volume.settings import new_settings
from tests.volume.meta.helpers import refused

ACCESS, DEFAULT = acl.ACCESS_NAME, acl.DEFAULT_NAME
# What setfacl -m u:1001:rwx,g:2002:r-x on a 0644 file passes to the kernel.
RULE = AclRule(6, 4, 7, 4, ((1001, 7),), ((2002, 5),))
RAW = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in (
        (1, 6, 0xFFFFFFFF), (2, 7, 1001), (4, 4, 0xFFFFFFFF), (8, 5, 2002),
        (0x10, 7, 0xFFFFFFFF), (0x20, 4, 0xFFFFFFFF),
    )
)  # fmt: skip
OWNER = Caller(uid=1000, gid=1000)
NAMED = Caller(uid=1001, gid=1)
IN_GROUP = Caller(uid=5, gid=6, groups=frozenset({2002}))


@pytest.fixture
def meta(meta_url: str, clock: ManualClock) -> Iterator[Meta]:
    """A volume with ACLs, without trash."""
    made = new_settings("suite", bucket="/b", trash_days=0)
    format_volume(meta_url, replace(made, enable_acl=True), clock=clock)
    with open_meta(meta_url, clock=clock) as opened:
        opened.setattr(ROOT, AttrChange(mode=0o777))
        yield opened
        assert opened.check() == ()


@pytest.fixture
def file(meta: Meta) -> Ino:
    return meta.create(ROOT, b"f", 0o644, caller=OWNER).ino


def put(meta: Meta, ino: Ino, name: bytes, rule: AclRule, caller: Caller = OWNER) -> None:
    meta.setxattr(ino, name, acl.encode_xattr(rule), XattrFlag.NONE, caller)


def rule_of(meta: Meta, ino: Ino, name: bytes) -> AclRule:
    return acl.decode_xattr(ino, meta.getxattr(ino, name))


# ---- the form of an extended attribute
def test_a_list_has_the_kernel_s_bytes() -> None:
    assert acl.encode_xattr(RULE) == RAW
    assert acl.decode_xattr(ROOT, RAW) == RULE
    assert acl.is_empty(acl.decode_xattr(ROOT, RAW[:4]))


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"", errno.EINVAL),
        (RAW[:-1], errno.EINVAL),
        (b"\x01" + RAW[1:], errno.ENOTSUP),
        (RAW + RAW[-8:], errno.EINVAL),  # two entries for others
        (RAW[:-8], errno.EINVAL),  # none for others
        (RAW[:-16] + RAW[-8:], errno.EINVAL),  # named entries without a mask
        (RAW + struct.pack("<HHI", 3, 4, 0), errno.EINVAL),  # no such tag
        (RAW + struct.pack("<HHI", 2, 4, 1001), errno.EINVAL),  # a user twice
        (RAW + struct.pack("<HHI", 2, 8, 1002), errno.EINVAL),  # no such bit
    ],
)
def test_what_is_no_list_is_refused(raw: bytes, wanted: int) -> None:
    with pytest.raises(FsError) as refusal:
        acl.decode_xattr(ROOT, raw)
    assert refusal.value.errno == wanted


# ---- setting and removing
def test_a_list_is_stored_shown_and_the_mode_shows_its_mask(
    meta: Meta, file: Ino, clock: ManualClock
) -> None:
    clock.advance(3)
    meta.setxattr(file, ACCESS, RAW, XattrFlag.NONE, OWNER)
    assert meta.getxattr(file, ACCESS) == RAW
    assert meta.listxattr(file) == (ACCESS,)
    attr = meta.getattr(file)
    assert (attr.mode, attr.ctime_ns) == (0o674, clock.wall_ns())
    meta.removexattr(file, ACCESS, OWNER)
    assert meta.listxattr(file) == ()
    assert meta.getattr(file).mode == 0o674
    refused(errno.ENODATA, meta.getxattr, file, ACCESS)
    refused(errno.ENODATA, meta.removexattr, file, ACCESS, OWNER)


def test_equal_lists_are_stored_once(meta: Meta, file: Ino) -> None:
    other = meta.create(ROOT, b"g", caller=OWNER).ino
    put(meta, file, ACCESS, RULE)
    put(meta, other, ACCESS, RULE)
    put(meta, meta.create(ROOT, b"h", caller=OWNER).ino, ACCESS, replace(RULE, other=0))
    assert meta.getattr(file).access_acl == meta.getattr(other).access_acl == 1
    with meta.engine.scan() as scans:
        assert [number for number, _ in scans.all_acls()] == [1, 2]


def test_a_list_that_the_mode_can_say_becomes_the_mode(meta: Meta, file: Ino) -> None:
    put(meta, file, ACCESS, AclRule(7, 5, ACL_NOT_SET, 1))
    attr = meta.getattr(file)
    assert (attr.mode, attr.access_acl) == (0o751, 0)


def test_a_list_keeps_setuid_and_takes_setgid_from_a_stranger_to_the_group(
    meta: Meta,
) -> None:
    file = meta.create(ROOT, b"s", 0o6755).ino
    meta.setattr(file, AttrChange(uid=OWNER.uid, gid=99))
    meta.setattr(file, AttrChange(mode=0o6755))
    put(meta, file, ACCESS, RULE)
    assert meta.getattr(file).mode == 0o4674


def test_create_and_replace_mean_what_they_say(meta: Meta, file: Ino) -> None:
    refused(errno.ENODATA, meta.setxattr, file, ACCESS, RAW, XattrFlag.REPLACE, OWNER)
    meta.setxattr(file, ACCESS, RAW, XattrFlag.CREATE, OWNER)
    refused(errno.EEXIST, meta.setxattr, file, ACCESS, RAW, XattrFlag.CREATE, OWNER)


def test_lists_are_the_owner_s_affair(meta: Meta, file: Ino) -> None:
    refused(errno.EPERM, meta.setxattr, file, ACCESS, RAW, XattrFlag.NONE, NAMED)
    refused(errno.EACCES, meta.setxattr, file, DEFAULT, RAW, XattrFlag.NONE, OWNER)
    link = meta.symlink(ROOT, b"link", b"x", OWNER).ino
    refused(errno.ENOTSUP, meta.setxattr, link, ACCESS, RAW, XattrFlag.NONE, OWNER)
    refused(errno.ENOENT, meta.setxattr, Ino(999), ACCESS, RAW)
    meta.setattr(file, AttrChange(flags=int(Flag.IMMUTABLE)))
    refused(errno.EPERM, meta.setxattr, file, ACCESS, RAW, XattrFlag.NONE, OWNER)


def test_a_volume_without_lists_refuses_them(meta_url: str, clock: ManualClock) -> None:
    format_volume(meta_url, new_settings("plain", bucket="/b"), clock=clock)
    with open_meta(meta_url, clock=clock) as plain:
        refused(errno.ENOTSUP, plain.setxattr, ROOT, ACCESS, RAW)
        refused(errno.ENOTSUP, plain.getxattr, ROOT, ACCESS)
        refused(errno.ENOTSUP, plain.removexattr, ROOT, ACCESS)


# ---- chmod
def test_chmod_changes_the_mask_and_leaves_the_group_s_entry(meta: Meta, file: Ino) -> None:
    put(meta, file, ACCESS, RULE)
    assert meta.setattr(file, AttrChange(mode=0o4701), OWNER).mode == 0o4701
    assert rule_of(meta, file, ACCESS) == AclRule(7, 4, 0, 1, ((1001, 7),), ((2002, 5),))
    meta.setattr(file, AttrChange(mtime_ns=5), OWNER)
    assert meta.getattr(file).access_acl == 2


# ---- permissions
@pytest.mark.parametrize(
    ("caller", "granted"),
    [
        (OWNER, 6),
        (NAMED, 7),
        (IN_GROUP, 5),
        (Caller(uid=5, gid=1000), 4),
        (Caller(uid=5, gid=1000, groups=frozenset({2002})), 5),
        (Caller(uid=9, gid=9), 4),
        (Caller(), 7),
        (Caller(uid=9, gid=9, check=False), 7),
    ],
)
def test_owner_named_user_any_group_or_others_decide(
    meta: Meta, file: Ino, caller: Caller, granted: int
) -> None:
    put(meta, file, ACCESS, RULE)
    node = Node(file, meta.getattr(file))
    for bit in (4, 2, 1):
        if granted & bit:
            meta.access(node, bit, caller)
        else:
            refused(errno.EACCES, meta.access, node, bit, caller)


def test_the_mask_bounds_all_but_owner_and_others(meta: Meta, file: Ino) -> None:
    put(meta, file, ACCESS, replace(RULE, mask=4, group=7))
    node = Node(file, meta.getattr(file))
    meta.access(node, 6, OWNER)
    for caller in (NAMED, IN_GROUP, Caller(uid=5, gid=1000)):
        meta.access(node, 4, caller)
        refused(errno.EACCES, meta.access, node, 6, caller)
    # Without group bits in the mode, the mode decides alone, as Linux has it.
    put(meta, file, ACCESS, replace(RULE, mask=0))
    node = Node(file, meta.getattr(file))
    meta.access(node, 4, NAMED)
    refused(errno.EACCES, meta.access, node, 4, Caller(uid=5, gid=1000))


def test_every_operation_asks_the_list(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d", 0o700, OWNER).ino
    refused(errno.EACCES, meta.create, folder, b"f", caller=NAMED)
    put(meta, folder, ACCESS, RULE)
    file = meta.create(folder, b"f", caller=NAMED).ino
    meta.lookup(folder, b"f", NAMED)
    meta.truncate(file, 5, NAMED)
    refused(errno.EACCES, meta.create, folder, b"g", caller=IN_GROUP)
    meta.rename(folder, b"f", folder, b"g", caller=NAMED)
    meta.unlink(folder, b"g", NAMED)


def test_a_node_whose_list_is_missing_is_damage_not_permission(meta: Meta, file: Ino) -> None:
    meta.engine.run(lambda txn: txn.do(ChangeNode(file, NodeChange(access_acl=77))))
    with pytest.raises(CorruptRecord, match="77"):
        meta.access(Node(file, meta.getattr(file)), 4, NAMED)
    meta.removexattr(file, ACCESS, OWNER)


# ---- what children get
def test_children_start_with_their_directory_s_default_list(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d", 0o755, OWNER).ino
    put(meta, folder, DEFAULT, RULE)
    assert meta.listxattr(folder) == (DEFAULT,)
    assert meta.getattr(folder).mode == 0o755
    file = meta.create(folder, b"f", 0o640, caller=OWNER, umask=0o077)
    assert rule_of(meta, file.ino, ACCESS) == replace(RULE, owner=6, mask=4, other=0)
    assert file.attr.mode == 0o640  # the umask is left out
    assert meta.listxattr(file.ino) == (ACCESS,)
    below = meta.mkdir(folder, b"below", 0o2777, OWNER, umask=0o077)
    assert rule_of(meta, below.ino, DEFAULT) == RULE
    assert rule_of(meta, below.ino, ACCESS) == RULE
    assert below.attr.mode == 0o2674
    link = meta.symlink(folder, b"link", b"x", OWNER)
    assert (link.attr.access_acl, link.attr.default_acl, link.attr.mode) == (0, 0, 0o777)
    nameless = meta.create_nameless(folder, 0o600, OWNER)
    assert rule_of(meta, nameless.ino, ACCESS) == replace(RULE, mask=0, other=0)


def test_a_default_list_that_a_mode_can_say_only_bounds_the_mode(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d", 0o755, OWNER).ino
    put(meta, folder, DEFAULT, AclRule(7, 5, ACL_NOT_SET, 0))
    child = meta.create(folder, b"f", 0o666, caller=OWNER, umask=0o077)
    assert (child.attr.mode, child.attr.access_acl) == (0o640, 0)
    assert meta.mkdir(folder, b"g", 0o777, OWNER).attr.default_acl != 0


def test_without_a_default_list_the_umask_counts(meta: Meta) -> None:
    assert meta.create(ROOT, b"f", 0o666, umask=0o027).attr.mode == 0o640
    assert meta.mkdir(ROOT, b"d", 0o777, umask=0o027).attr.mode == 0o750
    assert meta.mknod(ROOT, b"p", Kind.FIFO, 0o666, umask=0o027).attr.mode == 0o640
    assert meta.create_nameless(ROOT, 0o666, umask=0o027).attr.mode == 0o640


def test_a_clone_has_the_lists_of_the_original(meta: Meta, file: Ino) -> None:
    put(meta, file, ACCESS, RULE)
    copy = meta.clone(file, ROOT, b"copy", OWNER).ino
    assert rule_of(meta, copy, ACCESS) == RULE
