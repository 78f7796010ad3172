"""The short way of a dump writes what the long way writes, or leaves it to the long way."""

import io
from dataclasses import replace
from typing import Any

import pytest

from roost.clock import SystemClock
from roost.errors import CorruptRecord, Unavailable
from roost.volume.engines.redis.scans import RedisScans
from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta.api import format_volume
from roost.volume.meta.effects import AddEdge, AddNode, AppendSlices, PutXattr
from roost.volume.meta.opening import open_engine
from roost.volume.meta.txn import Txn
from roost.volume.model import ROOT, Attr, ChunkNo, Edge, Ino, Kind, Slice, SliceId
from roost.volume.settings import new_settings
from roost.volume.tools import dump_tree
from roost.volume.tools.dump import DumpOptions, dump
from roost.volume.tools.dump_plain import PlainFile

PLAIN = Attr(
    Kind.FILE, 0o644, 1, 2, 3_000_000_004, 5_000_000_006, 7_000_000_008, 1, 900, parent=ROOT
)
ONE = Slice(0, SliceId(9), 900, 0, 900)
NODES = {
    "plain": PLAIN,
    "an empty file": replace(PLAIN, length=0),
    "whole seconds": replace(PLAIN, atime_ns=0, mtime_ns=10**9, ctime_ns=2 * 10**9),
    "before 1970": replace(PLAIN, atime_ns=-1, mtime_ns=-(10**9), ctime_ns=-1_500_000_001),
    "setuid": replace(PLAIN, mode=0o7777),
    "the largest owner": replace(PLAIN, uid=(1 << 32) - 1, gid=(1 << 32) - 1),
    "a flag": replace(PLAIN, flags=1),
    "a device number": replace(PLAIN, rdev=3),
    "a tier": replace(PLAIN, tier=1),
    "two names": replace(PLAIN, nlink=2, parent=Ino(0)),
    "no name": replace(PLAIN, nlink=0),
    "a whole chunk": replace(PLAIN, length=CHUNK_BYTES),
    "more than a chunk": replace(PLAIN, length=CHUNK_BYTES + 1),
    "a pipe": replace(PLAIN, kind=Kind.FIFO, length=0),
}
PLAIN_NODES = (
    "plain", "an empty file", "whole seconds", "before 1970", "setuid", "the largest owner",
    "a whole chunk",
)  # fmt: skip
CHUNKS = {
    "none": (),
    "zeros": (replace(ONE, id=SliceId(0)),),
    "not from the start": (replace(ONE, pos=1),),
    "not its start": (replace(ONE, offset=1),),
    "two": (ONE, replace(ONE, pos=5, id=SliceId(10))),
    "none of the file": (replace(ONE, length=0),),
}
NAMES = (b"plain", b'a "quote"', b"\xff", "Jäger".encode(), b"per%cent", b"\x7f", b"new\nline")


@pytest.fixture
def odd_url(redis_url: str) -> str:
    """A volume in Redis whose root holds every odd thing among plain files."""
    format_volume(redis_url, new_settings("odd", bucket="/b"))
    engine = open_engine(redis_url, SystemClock(), read_only=False)
    numbers = iter(range(100, 1000))

    def put(txn: Txn, name: bytes, attr: Attr, slices: tuple[Slice, ...]) -> Ino:
        ino = Ino(next(numbers))
        txn.do(AddNode(ino, attr), AddEdge(ROOT, name, Edge(attr.kind, ino)))
        if slices:
            txn.do(AppendSlices(ino, ChunkNo(0), slices))
        return ino

    def fill(txn: Txn) -> None:
        for what, attr in NODES.items():
            put(txn, f"node: {what}".encode(), attr, (ONE,) if attr.length else ())
        for what, slices in CHUNKS.items():
            put(txn, f"chunk: {what}".encode(), PLAIN, slices)
        for name in NAMES:
            put(txn, name, PLAIN, (ONE,))
        ino = put(txn, b"with an attribute", PLAIN, (ONE,))
        txn.do(PutXattr(ino, b"user.a", b"1"))

    engine.run(fill)
    engine.close()
    return redis_url


def dumped(url: str) -> str:
    engine = open_engine(url, SystemClock(), read_only=True)
    try:
        out = io.BytesIO()
        dump(engine, out, DumpOptions())
        return out.getvalue().decode()
    finally:
        engine.close()


@pytest.mark.parametrize("page_entries", [1, 3, 1000])
def test_both_ways_write_the_same(
    odd_url: str, monkeypatch: pytest.MonkeyPatch, page_entries: int
) -> None:
    monkeypatch.setattr(dump_tree, "PAGE_ENTRIES", page_entries)
    taken: list[bytes] = []

    def noting(*row: Any) -> PlainFile:
        made = PlainFile(*row)
        taken.append(made.name)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(dump_tree, "PlainFile", noting)
        short = dumped(odd_url)
    monkeypatch.setattr(dump_tree, "plain_nodes", lambda _raws: {})
    assert short == dumped(odd_url)
    assert short.count('"inode"') == 2 + len(NODES) + len(CHUNKS) + len(NAMES) + 1
    assert {name.decode() for name in taken if b": " in name} == {
        *(f"node: {what}" for what in PLAIN_NODES),
        *(f"chunk: {what}" for what in ("zeros", "none of the file")),
    }
    assert set(NAMES) <= set(taken)


@pytest.mark.parametrize("ino", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_an_inode_that_no_counter_reaches_is_dumped_both_ways(
    odd_url: str, monkeypatch: pytest.MonkeyPatch, ino: int
) -> None:
    """Stored inodes have 64 bits without a sign; a dump saves whatever is there."""
    engine = open_engine(odd_url, SystemClock(), read_only=False)
    engine.run(
        lambda txn: txn.do(
            AddNode(Ino(ino), replace(PLAIN, length=0)),
            AddEdge(ROOT, b"far", Edge(Kind.FILE, Ino(ino))),
        )
    )
    engine.close()
    text = dumped(odd_url)
    assert text.count(f'"inode":{ino},') == 1
    monkeypatch.setattr(dump_tree, "plain_nodes", lambda _raws: {})
    assert text == dumped(odd_url)


def test_a_plain_file_that_stands_twice_is_damage(odd_url: str) -> None:
    engine = open_engine(odd_url, SystemClock(), read_only=False)
    engine.run(lambda txn: txn.do(AddEdge(ROOT, b"twin", Edge(Kind.FILE, Ino(100)))))
    engine.close()
    text = dumped(odd_url)  # the node says that it is here: it may have been moved
    assert text.count('"inode":100,') == 1


@pytest.mark.parametrize("verb", ["stored_nodes_of", "stored_first_chunks_of", "entries_of"])
def test_what_fails_while_pages_are_read_ahead_fails_the_dump(
    odd_url: str, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def fail(*_arguments: object) -> object:
        raise Unavailable("the wire was cut")

    monkeypatch.setattr(RedisScans, verb, fail)
    with pytest.raises(Unavailable, match="cut"):
        dumped(odd_url)


def test_a_broken_record_of_data_is_damage(odd_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RedisScans.stored_first_chunks_of
    monkeypatch.setattr(
        RedisScans,
        "stored_first_chunks_of",
        lambda scans, inos: [raw[:-1] for raw in real(scans, inos)],
    )
    with pytest.raises(CorruptRecord, match="no whole number"):
        dumped(odd_url)
