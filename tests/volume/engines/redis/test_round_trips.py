"""How often an operation asks the server, counted by a proxy; nothing else speaks meanwhile."""

from collections.abc import Callable

import pytest

from roost.bench.proxy import DelayingProxy
from roost.testing.servers import RedisServer
from roost.volume.engines.redis import link
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, AttrChange, ChunkNo, Ino, RenameFlag, Slice
from tests.volume.engines.redis.conftest import Opener

Operation = Callable[[Meta, Ino], object]


@pytest.fixture(autouse=True)
def _no_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PING_EVERY_S", 3600.0)


@pytest.fixture
def meta(redis_server: RedisServer, proxy: DelayingProxy, open_volume: Opener) -> Meta:
    url = redis_server.new_database()
    warm = open_volume(proxy.url(url), make=True)
    folder = warm.mkdir(ROOT, b"d").ino
    for name in (b"old", b"other"):
        warm.create(folder, name)
    warm.mkdir(folder, b"empty")
    warm.new_slice_id()
    return warm


def trips(proxy: DelayingProxy, call: Callable[[], object]) -> int:
    before = proxy.traffic()
    call()
    return proxy.traffic().since(before).round_trips


def _record(meta: Meta) -> Slice:
    return Slice(0, meta.new_slice_id(), 10, 0, 10)


OPERATIONS: dict[str, Operation] = {
    "create": lambda m, d: m.create(d, b"new"),
    "create anyway": lambda m, d: m.create(d, b"new", exclusive=False),
    "mkdir": lambda m, d: m.mkdir(d, b"new"),
    "symlink": lambda m, d: m.symlink(d, b"new", b"target"),
    "unlink": lambda m, d: m.unlink(d, b"old"),
    "rmdir": lambda m, d: m.rmdir(d, b"empty"),
    "rename": lambda m, d: m.rename(d, b"old", d, b"new"),
    "rename over": lambda m, d: m.rename(d, b"old", d, b"other"),
    "exchange": lambda m, d: m.rename(d, b"old", d, b"other", RenameFlag.EXCHANGE),
}
ON_FILES: dict[str, Operation] = {
    "setattr": lambda m, f: m.setattr(f, AttrChange(mode=0o600)),
    "link": lambda m, f: m.link(f, ROOT, b"new"),
    "write": lambda m, f: m.write_slice(f, ChunkNo(0), _record(m)),
    "truncate": lambda m, f: m.truncate(f, 100),
    "getattr": lambda m, f: m.getattr(f),
}


def _known(meta: Meta) -> Ino:
    """Let the client know all that the operations look at."""
    folder = meta.lookup(ROOT, b"d").ino
    meta.getattr(ROOT)
    for name in (b"old", b"other", b"empty"):
        meta.getattr(meta.lookup(folder, name).ino)
    return folder


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "create anyway"])
def test_a_change_of_what_is_known_is_one_round_trip(
    meta: Meta, proxy: DelayingProxy, name: str
) -> None:
    folder = _known(meta)
    assert trips(proxy, lambda: OPERATIONS[name](meta, folder)) == 1


@pytest.mark.parametrize("name", ON_FILES)
def test_a_change_of_a_known_file_is_one_round_trip(
    meta: Meta, proxy: DelayingProxy, name: str
) -> None:
    file = meta.lookup(_known(meta), b"old").ino
    assert trips(proxy, lambda: ON_FILES[name](meta, file)) == 1


@pytest.mark.parametrize("name", [*OPERATIONS, *ON_FILES])
def test_a_change_of_what_is_not_known_is_two_at_most(
    meta: Meta, proxy: DelayingProxy, name: str
) -> None:
    folder = _known(meta)
    file = meta.lookup(folder, b"old").ino
    engine = meta._opened.engine
    engine._link._live.cache.clear()  # type: ignore[attr-defined]
    if name in OPERATIONS:
        assert trips(proxy, lambda: OPERATIONS[name](meta, folder)) <= 2
    else:
        assert trips(proxy, lambda: ON_FILES[name](meta, file)) <= 2


def test_a_lookup_and_a_long_path_that_are_known_are_one_round_trip(
    meta: Meta, proxy: DelayingProxy
) -> None:
    ino = meta.lookup(ROOT, b"d").ino
    for name in (b"e", b"f", b"g"):
        ino = meta.mkdir(ino, name).ino
    meta.resolve("/d/e/f/g")
    assert trips(proxy, lambda: meta.resolve("/d/e/f/g")) == 1
    meta._opened.engine._link._live.cache.clear()  # type: ignore[attr-defined]
    assert trips(proxy, lambda: meta.resolve("/d/e/f/g")) <= 5


def test_a_refusal_is_one_round_trip(meta: Meta, proxy: DelayingProxy) -> None:
    folder = _known(meta)

    def refused() -> None:
        with pytest.raises(OSError, match="exist"):
            meta.create(folder, b"old")

    assert trips(proxy, refused) == 1


def test_a_listing_with_attributes_is_a_few_round_trips(meta: Meta, proxy: DelayingProxy) -> None:
    folder = _known(meta)
    for number in range(300):
        meta.create(folder, b"f%d" % number)
    assert trips(proxy, lambda: list(meta.readdir(folder, with_attrs=True))) <= 3


def test_creators_of_two_clients_in_one_directory_take_one_round_trip_each(
    redis_server: RedisServer, meta: Meta, proxy: DelayingProxy, open_volume: Opener
) -> None:
    """Each changes the other's record of the directory, but not what matters of it."""
    folder = _known(meta)
    number = meta._opened.engine._link.place.database  # type: ignore[attr-defined]
    other = open_volume(f"{redis_server.url}/{number}")
    other.create(folder, b"first")
    for name in (b"a", b"b", b"c"):
        other.create(folder, b"other " + name)
        assert trips(proxy, lambda name=name: meta.create(folder, name)) == 1
    other.setattr(folder, AttrChange(flags=1))
    with pytest.raises(OSError, match="not permitted"):
        meta.create(folder, b"d")
    other.setattr(folder, AttrChange(flags=0))
    meta.create(folder, b"d")
