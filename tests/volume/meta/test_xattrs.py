import errno

import pytest

from roost.volume.errors import FsError
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, AttrChange, Caller, XattrFlag


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def test_values_are_bytes_and_may_be_empty(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    for name, value in ((b"user.a", b"\0\xff"), (b"user.b", b""), ("user.ö".encode(), b"x")):
        meta.setxattr(file, name, value)
        assert meta.getxattr(file, name) == value
    assert meta.listxattr(file) == (b"user.a", b"user.b", "user.ö".encode())
    meta.setxattr(file, b"user.a", b"new")
    assert meta.getxattr(file, b"user.a") == b"new"


def test_attributes_change_no_time(meta: Meta) -> None:
    node = meta.create(ROOT, b"f")
    meta.setxattr(node.ino, b"user.a", b"1")
    assert meta.getattr(node.ino) == node.attr


def test_create_and_replace_decide_on_presence(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    with refused(errno.ENODATA):
        meta.setxattr(file, b"user.a", b"1", XattrFlag.REPLACE)
    meta.setxattr(file, b"user.a", b"1", XattrFlag.CREATE)
    with refused(errno.EEXIST):
        meta.setxattr(file, b"user.a", b"2", XattrFlag.CREATE)
    meta.removexattr(file, b"user.a")
    with refused(errno.ENODATA):
        meta.removexattr(file, b"user.a")
    with refused(errno.ENODATA):
        meta.getxattr(file, b"user.a")


def test_limits_and_acls_are_refused(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    with refused(errno.E2BIG):
        meta.setxattr(file, b"user.a", b"x" * 65537)
    with refused(errno.ERANGE):
        meta.setxattr(file, b"u" * 256, b"")
    with refused(errno.EINVAL):
        meta.setxattr(file, b"", b"")
    with refused(errno.ENOTSUP):
        meta.setxattr(file, b"system.posix_acl_access", b"")
    with refused(errno.ENOENT):
        meta.listxattr(type(file)(99999))


def test_who_may_not_write_a_file_may_not_change_its_attributes(meta: Meta) -> None:
    stranger, owner = Caller(uid=5, gid=5), Caller(uid=1000, gid=1000)
    meta.setattr(ROOT, AttrChange(mode=0o777))
    file = meta.create(ROOT, b"guarded", 0o644, caller=owner).ino
    for name, wanted in ((b"user.x", errno.EACCES), (b"security.x", errno.EPERM)):
        meta.setxattr(file, name, b"1", caller=owner)
        with refused(wanted):
            meta.setxattr(file, name, b"2", caller=stranger)
        with refused(wanted):
            meta.removexattr(file, name, caller=stranger)
        assert meta.getxattr(file, name) == b"1"
    meta.setattr(file, AttrChange(mode=0o646))
    meta.setxattr(file, b"user.x", b"2", caller=stranger)
