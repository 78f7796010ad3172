"""A source whose folder is replaced by an empty one in mid-run: what an unmounted disk leaves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.volume.sync.endpoint import Endpoint, Vanished
from roost.volume.sync.items import Item
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.options import Options
from roost.volume.sync.runner import Job, Sync
from roost.volume.sync.volume_tree import VolumeTree
from tests.volume.sync import places
from tests.volume.sync.places import File, Quiet, fill, read_back

TREE = {
    f"d{folder}/{name}": File(b"x") for folder in range(4) for name in ("", *map(str, range(5)))
}
DELETING = Options(delete_dst=True, dirs=True, threads=2)


def _replaced(endpoint: Endpoint, folder: Path) -> Callable[[], None]:
    """Return what puts an empty folder in the place of the endpoint's root."""
    if isinstance(endpoint, VolumeTree):
        client = endpoint._client

        def in_the_volume() -> None:
            client.rename("/root", "/away")
            client.mkdir("/root")

        return in_the_volume

    def on_disk() -> None:
        folder.rename(folder.with_name("away"))
        folder.mkdir()

    return on_disk


@pytest.fixture(params=[places.local, places.volume], ids=["directory", "volume"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    made: Endpoint = request.param(tmp_path / "source")
    fill(made, TREE)
    yield made
    made.close()


@pytest.fixture
def target(tmp_path: Path) -> LocalTree:
    made = places.local(tmp_path / "target")
    fill(made, TREE)
    return made


@pytest.mark.parametrize("count", [0, 1, 3, 12, len(TREE)])
def test_nothing_is_deleted_once_the_source_was_replaced(
    source: Endpoint,
    target: LocalTree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    """After any number of keys, and whether or not there is a target key below them."""
    replace, listed = _replaced(source, tmp_path / "source"), source.list

    def unmounted(prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        left = count
        for item in listed(prefix, start, follow=follow):
            if left == 0:
                replace()
            left -= 1
            yield item
        if left == 0:
            replace()

    monkeypatch.setattr(source, "list", unmounted)
    with pytest.raises(Vanished):
        Sync(Job(source, target, options=DELETING), Quiet()).run()
    assert set(read_back(target)) == set(TREE)


@pytest.mark.parametrize("count", [1, 4])
def test_a_key_is_not_absent_at_a_source_that_was_replaced(
    source: Endpoint,
    target: LocalTree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    """The listing was whole; the deletions that it led to come later."""
    extras = {f"z/{number}": File(b"x") for number in range(6)}
    fill(target, extras)
    fill(source, {"z/3": File(b"x")})
    replace, looked, listed = _replaced(source, tmp_path / "source"), source.head, source.list
    calls = iter(range(1, 1000))

    def unmounted(key: str, *, follow: bool) -> Item | None:
        if next(calls) == count:
            replace()
        return looked(key, follow=follow)

    def forgetful(prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        return (i for i in listed(prefix, start, follow=follow) if i.key != "z/3")

    monkeypatch.setattr(source, "head", unmounted)
    monkeypatch.setattr(source, "list", forgetful)
    with pytest.raises(Vanished):
        Sync(Job(source, target, options=DELETING), Quiet()).run()
    assert "z/3" in read_back(target)
    assert set(TREE) <= set(read_back(target))


def test_nothing_is_deleted_in_the_folder_that_took_the_source_s_place(
    source: Endpoint, tmp_path: Path
) -> None:
    assert source.is_there()
    _replaced(source, tmp_path / "source")()
    fill(source, {"a": File(b"new")})
    with pytest.raises(Vanished):
        source.delete("a")
    assert not source.is_there()
