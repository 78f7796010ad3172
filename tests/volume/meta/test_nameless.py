"""Files without a name (O_TMPFILE), and access times."""

import errno

import pytest

from roost.testing.clock import ManualClock
from roost.volume.meta.answers import AtimeMode
from roost.volume.meta.api import Meta, open_meta
from roost.volume.model import NODE_SPACE_BYTES, ROOT, AttrChange, Caller, Flag, Ino
from tests.volume.meta.helpers import add_slice, refused


def test_a_nameless_file_lives_while_it_is_open(meta: Meta) -> None:
    used = meta.statfs()
    node = meta.create_nameless(ROOT, 0o640, Caller(uid=5, gid=6))
    assert (node.attr.nlink, node.attr.mode, node.attr.uid) == (0, 0o640, 5)
    add_slice(meta, node.ino, 5000)
    assert list(meta.readdir(ROOT)) == []
    assert meta.statfs().used_bytes == used.used_bytes + 2 * NODE_SPACE_BYTES
    deleted = meta.close_file(node.ino)
    assert deleted is not None
    assert (deleted.ino, deleted.length) == (node.ino, 5000)
    assert meta.statfs() == used


def test_a_link_makes_it_an_ordinary_file(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create_nameless(ROOT).ino
    add_slice(meta, file, 5000)
    named = meta.link(file, folder, b"f")
    assert (named.attr.nlink, named.attr.parent) == (1, folder)
    with meta.engine.scan() as scans:  # The official client deletes what a session keeps.
        assert scans.all_sustained() == ()
    assert meta.close_file(file) is None
    assert meta.lookup(folder, b"f").attr.length == 5000
    meta.rename(folder, b"f", ROOT, b"g")
    assert meta.getattr(file).parent == ROOT


def test_only_a_file_made_without_a_name_can_get_its_first(meta: Meta) -> None:
    unlinked = meta.create(ROOT, b"f").ino
    meta.open(unlinked)
    meta.unlink(ROOT, b"f")
    refused(errno.ENOENT, meta.link, unlinked, ROOT, b"again")
    meta.close_file(unlinked)
    made = meta.create_nameless(ROOT).ino
    meta.link(made, ROOT, b"g")
    meta.unlink(ROOT, b"g")
    refused(errno.ENOENT, meta.link, made, ROOT, b"again")
    assert meta.close_file(made) is not None


def test_the_session_s_end_removes_nameless_files(
    meta: Meta, meta_url: str, clock: ManualClock
) -> None:
    used = meta.statfs()
    with open_meta(meta_url, clock=clock) as leaving:
        file = leaving.create_nameless(ROOT).ino
    refused(errno.ENOENT, meta.getattr, file)
    assert meta.statfs() == used
    assert len(meta.deleted_files()) == 1


def test_a_nameless_file_needs_a_session_and_a_directory(
    meta: Meta, meta_url: str, clock: ManualClock
) -> None:
    with open_meta(meta_url, session=False, clock=clock) as sessionless:
        refused(errno.ENOTSUP, sessionless.create_nameless, ROOT)
    refused(errno.ENOENT, meta.create_nameless, Ino(999))
    refused(errno.ENOTDIR, meta.create_nameless, meta.create(ROOT, b"f").ino)
    meta.setattr(ROOT, AttrChange(flags=int(Flag.IMMUTABLE)))
    refused(errno.EPERM, meta.create_nameless, ROOT)
    meta.setattr(ROOT, AttrChange(flags=0))


def test_a_refused_nameless_file_counts_no_open(meta: Meta) -> None:
    refused(errno.ENOENT, meta.create_nameless, Ino(999))
    file = meta.create(ROOT, b"f").ino
    assert meta.unlink(ROOT, b"f") is not None
    refused(errno.ENOENT, meta.getattr, file)


# ---- access times
@pytest.mark.parametrize("mode", list(AtimeMode))
def test_reads_change_the_access_time_as_the_mode_says(
    meta: Meta, meta_url: str, clock: ManualClock, mode: AtimeMode
) -> None:
    file = meta.create(ROOT, b"f").ino
    start = meta.getattr(file)
    with open_meta(meta_url, clock=clock, atime=mode) as reader:

        def after(seconds: float) -> bool:
            """Read once more; True if that changed the access time."""
            clock.advance(seconds)
            before = reader.getattr(file)
            reader.accessed(file, before)
            reader.accessed(file)
            changed = reader.getattr(file)
            assert (changed.mtime_ns, changed.ctime_ns) == (before.mtime_ns, before.ctime_ns)
            return changed.atime_ns == clock.wall_ns() != before.atime_ns

        seen = (after(5), after(5), after(25 * 3600))
        reader.accessed(Ino(999))
    expected = {
        AtimeMode.NEVER: (False, False, False),
        AtimeMode.RELATIVE: (True, False, True),
        AtimeMode.ALWAYS: (True, True, True),
    }
    assert seen == expected[mode]
    assert (meta.getattr(file).atime_ns == start.atime_ns) == (mode is AtimeMode.NEVER)
