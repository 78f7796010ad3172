"""Whole tables as plain rows: the same records as one by one, and damage is damage."""

from collections.abc import Callable, Iterator
from itertools import chain

import pytest
import redis

from roost.errors import CorruptRecord
from roost.testing.servers import RedisServer
from roost.volume.codec import encode_slices
from roost.volume.engines.redis.scans import AT_ONCE
from roost.volume.meta.api import Meta
from roost.volume.meta.reads import Scans
from roost.volume.meta.scan_pages import RowScans, edge_pages, node_pages
from roost.volume.model import ROOT
from tests.volume.engines.redis.conftest import Opener
from tests.volume.tools.conftest import fill


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    return redis_server.new_database()


@pytest.fixture
def meta(url: str, open_volume: Opener) -> Meta:
    opened = open_volume(url, make=True, trash_days=1)
    fill(opened)
    return opened


@pytest.fixture
def raw(redis_server: RedisServer, url: str) -> redis.Redis:
    return redis_server.client(int(url.rpartition("/")[2]))


def test_rows_are_the_records_one_by_one(meta: Meta) -> None:
    meta.clone(meta.resolve("/harder").ino, ROOT, b"copy")
    with meta.engine.scan() as scans:
        assert isinstance(scans, RowScans)
        assert list(chain.from_iterable(scans.node_rows())) == [
            (ino, attr.parent, attr.length, attr.nlink, attr.kind)
            for ino, attr in scans.all_nodes()
        ]
        assert list(chain.from_iterable(scans.edge_rows())) == [
            (0, edge.ino, parent, edge.kind) for parent, _, edge in scans.all_edges()
        ]
        assert list(chain.from_iterable(scans.chunk_rows())) == [
            (0, one.ino, one.chunk_no, encode_slices(one.slices)) for one in scans.all_chunks()
        ]
        counts = [(ref.id, ref.size, ref.refs) for ref in scans.all_slice_refs()]
        assert list(chain.from_iterable(scans.count_rows())) == counts
        assert counts


def test_counts_come_a_page_at_a_time(meta: Meta, raw: redis.Redis) -> None:
    """As Python's numbers they take many times the room."""
    raw.hset("sliceRef", mapping={f"k{1_000_000 + number}_1": 1 for number in range(2500)})
    with meta.engine.scan() as scans:
        assert isinstance(scans, RowScans)
        pages = list(scans.count_rows())
        assert max(map(len, pages)) <= AT_ONCE
        counts = [(ref.id, ref.size, ref.refs) for ref in scans.all_slice_refs()]
    assert list(chain.from_iterable(pages)) == counts


@pytest.mark.parametrize(
    ("key", "value", "pages"),
    [(b"i2", b"", node_pages), (b"i2", b"short", node_pages), (b"d1", b"odd", edge_pages)],
)
def test_a_record_that_does_not_parse_is_damage(
    meta: Meta,
    raw: redis.Redis,
    key: bytes,
    value: bytes,
    pages: Callable[[Scans], Iterator[object]],
) -> None:
    raw.set(key, value) if key[:1] == b"i" else raw.hset(key, "x", value)
    with meta.engine.scan() as scans, pytest.raises(CorruptRecord):
        list(pages(scans))
