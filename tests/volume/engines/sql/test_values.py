"""What fits into the columns of a server and what does not, and what a server says of itself."""

import errno
from dataclasses import replace

import pytest

from roost.errors import CorruptRecord, StorageFull
from roost.testing.faulty_server import ServerFaults
from roost.volume.errors import FsError
from roost.volume.meta import effects as fx
from roost.volume.meta.api import Meta
from roost.volume.model import (
    ROOT,
    AclRule,
    AttrChange,
    Caller,
    ChunkNo,
    Ino,
    Kind,
    LockHolder,
    LockKind,
    Quota,
    QuotaKind,
    RangeLock,
    SessionId,
    Slice,
    SliceId,
)
from tests.volume.engines.sql.conftest import Clients, Rows

NAMES = [bytes([number]) for number in range(1, 256) if number not in b"/."]


def test_names_of_any_bytes_come_back_as_they_were(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    for name in [*NAMES[::7], b"'; DROP TABLE jfs_node; --", b"?%s\\", b"a" * 255]:
        made = meta.create(folder, name).ino
        assert meta.lookup(folder, name).ino == made
        meta.symlink(folder, b"l" + name[:200], name)
        assert meta.readlink(meta.lookup(folder, b"l" + name[:200]).ino) == name
    listed = [entry.name for entry in meta.readdir(folder)]
    assert listed == sorted(listed)


def test_names_of_attributes_differ_by_case_and_accent_or_are_refused(
    meta: Meta, rows: Rows
) -> None:
    """MariaDB's collation may take two names for one: the second is refused, not mixed up."""
    names = [b"user.a", b"user.A", b"user.\xc3\xa4"]
    stored = []
    for name in names:
        try:
            meta.setxattr(ROOT, name, name)
            stored.append(name)
        except FsError as error:
            refused = error.errno
            assert refused == errno.EEXIST
    assert sorted(meta.listxattr(ROOT)) == sorted(stored)
    for name in names:
        if name in stored:
            assert meta.getxattr(ROOT, name) == name
        else:
            with pytest.raises(FsError) as missing:
                meta.getxattr(ROOT, name)
            assert missing.value.errno == errno.ENODATA
    meta.setxattr(ROOT, b"user.a", b"again")
    assert meta.getxattr(ROOT, b"user.a") == b"again"


def test_a_name_that_is_no_text_is_refused(meta: Meta) -> None:
    with pytest.raises(FsError):
        meta.setxattr(ROOT, b"user.\xff", b"1")


def test_owners_beyond_a_signed_number_are_refused(meta: Meta) -> None:
    with pytest.raises(FsError) as refused:
        meta.create(ROOT, b"f", caller=Caller(uid=1 << 31, gid=0, check=False))
    assert refused.value.errno == errno.EOVERFLOW
    meta.create(ROOT, b"f", caller=Caller(uid=(1 << 31) - 1, gid=0, check=False))


def test_times_before_1970_and_to_the_nanosecond_are_kept(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    for time_ns in (0, 999, -1, -1_500, 1_795_393_476_170_695_999):
        meta.setattr(file, AttrChange(mtime_ns=time_ns, atime_ns=time_ns))
        attr = meta.getattr(file)
        assert (attr.mtime_ns, attr.atime_ns) == (time_ns, time_ns)


@pytest.mark.parametrize("rest", [0, 5, 998, 999])
def test_a_data_time_never_repeats(meta: Meta, rest: int) -> None:
    file = meta.create(ROOT, b"f").ino
    time_ns = 1_795_393_476_170_695_000 + rest
    for expected in (time_ns, time_ns + 1):
        record = Slice(0, meta.new_slice_id(), 1, 0, 1)
        attr = meta.write_slice(file, ChunkNo(0), record, mtime_ns=time_ns)
        assert attr.mtime_ns == meta.getattr(file).mtime_ns == expected


def test_a_chunk_with_all_the_records_a_blob_holds_takes_no_more(meta: Meta, url: str) -> None:
    if url.startswith("postgres"):
        pytest.skip("PostgreSQL has no such limit")
    file = meta.create(ROOT, b"f").ino
    records = tuple(Slice(0, SliceId(1), 1, 0, 1) for _ in range(2730))
    engine = meta._opened.engine
    engine.run(lambda txn: txn.do(fx.AppendSlices(file, ChunkNo(0), records)))
    with pytest.raises(StorageFull, match="records"):
        meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 1, 0, 1))
    engine.run(lambda txn: txn.do(fx.DropChunk(file, ChunkNo(0))))


def test_a_value_longer_than_its_column_is_refused(meta: Meta, url: str) -> None:
    meta.setxattr(ROOT, b"user.a", b"x" * 65_535)
    if url.startswith("postgres"):
        return
    with pytest.raises(FsError) as refused:
        meta.setxattr(ROOT, b"user.b", b"x" * 65_536)
    assert refused.value.errno == errno.E2BIG


def test_locks_quotas_and_rules_come_back_as_they_were(meta: Meta, rows: Rows) -> None:
    engine = meta._opened.engine
    holder = LockHolder(SessionId(3), 0x8534_5678_9ABC_DEF0)
    ranges = (RangeLock(LockKind.WRITE, 7, 0, 9), RangeLock(LockKind.READ, 7, 20, (1 << 63) - 1))
    rule = AclRule(7, 5, 7, 0, ((1001, 7),), ((2002, 5), (2001, 4)))
    quota = Quota(1 << 40, -1, 4096, 1)
    engine.run(
        lambda txn: txn.do(
            fx.PutFlock(Ino(9), holder, LockKind.WRITE),
            fx.PutRangeLocks(Ino(9), holder, ranges),
            fx.PutAcl(1, rule),
            fx.PutQuota(QuotaKind.USER, 1000, quota),
            fx.UseQuota(QuotaKind.USER, 1000, 10, 2),
            fx.UseQuota(QuotaKind.GROUP, 5, 10, 2, create=True),
            fx.UseQuota(QuotaKind.DIRECTORY, 77, 10, 2),
        )
    )
    assert rows("SELECT owner, ltype FROM jfs_flock") == [(0x8534_5678_9ABC_DEF0 - (1 << 64), 87)]
    used = replace(quota, used_space_bytes=4106, used_inodes=3)
    assert engine.read(
        lambda reads: (
            reads.flocks(Ino(9)),
            reads.range_locks(Ino(9)),
            reads.acl(1),
            reads.acl_id(rule),
            reads.acl_id(replace(rule, mask=6)),
            reads.counter("aclMaxId"),
            reads.quota(QuotaKind.USER, 1000),
            reads.quota(QuotaKind.GROUP, 5),
            reads.quota(QuotaKind.DIRECTORY, 77),
        )
    ) == (
        ((holder, LockKind.WRITE),),
        ((holder, ranges),),
        rule,
        1,
        None,
        1,
        used,
        Quota(-1, -1, 10, 2),
        None,
    )
    engine.run(
        lambda txn: txn.do(
            fx.DropSession(SessionId(3)),
            fx.PutQuota(QuotaKind.USER, 1000, None),
            fx.PutQuota(QuotaKind.GROUP, 5, None),
        )
    )
    assert rows("SELECT owner FROM jfs_flock UNION ALL SELECT owner FROM jfs_plock") == []


@pytest.mark.parametrize("new_first", [True, False])
def test_a_slice_is_as_large_as_it_was_made_known(meta: Meta, rows: Rows, new_first: bool) -> None:
    """Whatever size another reference in the same commit gives for it."""
    slice_id = meta.new_slice_id()
    effects = [
        fx.AddSliceRefs(slice_id, 1, 500, is_new=True),
        fx.AddSliceRefs(slice_id, 1, 300),
        fx.AddSliceRefs(slice_id, 1, 700),
    ]
    meta._opened.engine.run(lambda txn: txn.do(*effects[:: 1 if new_first else -1]))
    query = "SELECT size, refs FROM jfs_chunk_ref WHERE chunkid = ?"
    assert list(map(tuple, rows(query, slice_id))) == [(500, 3)]
    gone = (fx.AddSliceRefs(slice_id, -3, 500), fx.DropSliceRef(slice_id, 500))
    meta._opened.engine.run(lambda txn: txn.do(*gone))


def test_rules_of_juicefs_get_numbers_beyond_ours(meta: Meta, rows: Rows, url: str) -> None:
    engine = meta._opened.engine
    engine.run(lambda txn: txn.do(fx.PutAcl(1, AclRule(1, 2, 3, 4))))
    rows('INSERT INTO jfs_acl (owner, "group", mask, other) VALUES (7, 7, 7, 7)')
    ((number,),) = rows("SELECT MAX(id) FROM jfs_acl")
    assert number > 1  # how much, other tests in the same database decide
    assert engine.read(lambda reads: reads.acl(number)) == AclRule(7, 7, 7, 7)


def test_a_row_that_does_not_parse_is_damage(meta: Meta, rows: Rows, clients: Clients) -> None:
    file = meta.create(ROOT, b"f").ino
    rows("UPDATE jfs_node SET type = 9 WHERE inode = ?", file)
    with pytest.raises(CorruptRecord, match=str(file)):
        clients.open().getattr(file)
    rows("UPDATE jfs_node SET type = 1 WHERE inode = ?", file)
    assert meta.getattr(file).kind is Kind.FILE


def test_statistics_that_are_missing_are_computed(meta: Meta, rows: Rows) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    meta.truncate(meta.create(folder, b"a").ino, 5000)
    rows("DELETE FROM jfs_dir_stats")
    other = meta.create(folder, b"b")
    meta._opened.engine._cache.clear()  # type: ignore[attr-defined]  # ten seconds later
    meta.unlink(folder, b"b")
    assert other.attr.nlink == 1
    query = "SELECT data_length, used_space, used_inodes FROM jfs_dir_stats WHERE inode = ?"
    assert rows(query, folder) == [(5000, 8192, 1)]


def test_a_server_that_does_not_flush_says_so(meta: Meta, url: str) -> None:
    """The servers of the tests are set not to flush each commit."""
    engine = meta._opened.engine
    assert "server program" in engine.durability
    assert any("flush" in note or "fsync" in note for note in engine.notes)


def test_what_is_read_together_is_fetched_together(clients: Clients) -> None:
    faults = ServerFaults()
    meta = clients.open(faults)
    folder = meta.mkdir(ROOT, b"d").ino
    for number in range(30):
        meta.create(folder, b"f%02d" % number)
    faults.arm(0)
    assert len(list(meta.readdir(folder, with_attrs=True))) == 30
    assert faults.round_trips <= 3
    faults.arm(0)
    assert meta.lookup(folder, b"f07").attr.nlink == 1
    assert faults.round_trips == 1
