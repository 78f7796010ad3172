"""What entries prove is put right; the rest is reported and left alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.model import ROOT, Edge, Ino
from roost.volume.settings import new_settings
from roost.volume.tools.repair import RepairOptions, look_at

EVERYTHING = RepairOptions(recursive=True, repair=True, sync_stats=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A volume with directories 2 and in it 3, and in that file 4."""
    url = f"sqlite3://{tmp_path}/meta.db"
    format_volume(url, new_settings("hurt", bucket="/b", trash_days=0))
    with open_meta(url) as meta:
        upper = meta.mkdir(ROOT, b"upper").ino
        lower = meta.mkdir(upper, b"lower").ino
        assert (upper, lower, meta.create(lower, b"file").ino) == (2, 3, 4)
    return tmp_path / "meta.db"


@pytest.fixture
def meta(path: Path) -> Iterator[Meta]:
    with open_meta(f"sqlite3://{path}", session=False) as meta:
        yield meta


def hurt(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, timeout=30)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE jfs_node SET nlink = 9 WHERE inode = 2",
        "UPDATE jfs_node SET nlink = 1 WHERE inode = 1",
        "UPDATE jfs_node SET parent = 1 WHERE inode = 3",
        "UPDATE jfs_dir_stats SET used_inodes = 7 WHERE inode = 2",
    ],
)
def test_what_entries_prove_is_repaired(path: Path, meta: Meta, damage: str) -> None:
    hurt(path, damage)
    assert meta.check()
    before = [one for one in look_at(meta.engine, RepairOptions(recursive=True))]
    assert not any(one.repaired for one in before)
    assert [one.repaired for one in look_at(meta.engine, EVERYTHING)] == [True]
    assert meta.check() == ()
    assert list(look_at(meta.engine, EVERYTHING)) == []


def test_a_directory_that_is_gone_is_made_again(path: Path, meta: Meta) -> None:
    hurt(path, "DELETE FROM jfs_node WHERE inode = 2")
    hurt(path, "UPDATE jfs_counter SET value = value - 4096 WHERE name = 'usedSpace'")
    hurt(path, "UPDATE jfs_counter SET value = value - 1 WHERE name = 'totalInodes'")
    assert [one.repaired for one in look_at(meta.engine, EVERYTHING)] == [True]
    assert meta.check() == ()
    assert meta.resolve("/upper/lower/file").ino == 4


def test_a_file_that_is_gone_is_only_reported(path: Path, meta: Meta) -> None:
    hurt(path, "DELETE FROM jfs_node WHERE inode = 4")
    found = list(look_at(meta.engine, RepairOptions(recursive=True, repair=True)))
    assert [(one.ino, one.repaired) for one in found] == [(3, False)]


@pytest.mark.parametrize("above", [1, 2, 3])
def test_a_directory_with_two_names_is_reported_and_walked_once(
    path: Path, meta: Meta, above: int
) -> None:
    """One of them may lie in itself."""
    hurt(path, f"INSERT INTO jfs_edge (parent, name, inode, type) VALUES ({above}, x'78', 2, 2)")
    found = list(look_at(meta.engine, RepairOptions(recursive=True)))
    named = [one for one in found if one.what == "this directory has several names"]
    assert [one.ino for one in named] == [2]


@pytest.mark.parametrize("top", ["/", "/upper"])
def test_a_directory_that_lies_in_itself_is_reported(path: Path, meta: Meta, top: str) -> None:
    ino = meta.resolve(top).ino
    hurt(path, f"INSERT INTO jfs_edge (parent, name, inode, type) VALUES (3, x'78', {ino}, 2)")
    found = list(look_at(meta.engine, RepairOptions(path=top, recursive=True)))
    assert (ino, "this directory has several names") in [(one.ino, one.what) for one in found]


def test_a_directory_moved_during_the_walk_is_sound(meta: Meta) -> None:
    walked_first = meta.mkdir(ROOT, b"walked first").ino
    moved = []

    def move(done: int, _all: int) -> None:
        if done == 2:  # the root and one of the two directories in it
            meta.rename(ROOT, b"walked first", meta.resolve("/upper").ino, b"moved")
            moved.append(walked_first)

    assert list(look_at(meta.engine, RepairOptions(recursive=True), move)) == []
    assert moved == [meta.resolve("/upper/moved").ino]


class Moving:
    """An engine without snapshots: once it has listed where "moved" lies, it lies elsewhere."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._places = [meta.mkdir(ROOT, name).ino for name in (b"a", b"b")]
        self._listed_in: Ino | None = None
        self.moves = 0
        meta.mkdir(self._places[1], b"moved")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._meta.engine, name)

    @contextmanager
    def scan(self) -> Iterator[Any]:
        with self._meta.engine.scan() as scans:
            yield SimpleNamespace(nodes_of=scans.nodes_of, entries_of=self._entries_of)
        self._move()

    def _entries_of(self, ino: Ino) -> list[tuple[bytes, Edge]]:
        self._move()
        with self._meta.engine.scan() as scans:
            found = list(scans.entries_of(ino))
        if b"moved" in dict(found):
            self._listed_in = ino
        return found

    def _move(self) -> None:
        place, self._listed_in = self._listed_in, None
        if place is not None:
            other = next(one for one in self._places if one != place)
            self._meta.rename(place, b"moved", other, b"moved")
            self.moves += 1


def test_a_directory_that_goes_on_moving_has_one_name(meta: Meta) -> None:
    engine: Any = Moving(meta)
    assert list(look_at(engine, RepairOptions(recursive=True))) == []
    assert engine.moves == 4, "it was met twice in each walk"


def test_only_the_path_is_looked_at(path: Path, meta: Meta) -> None:
    hurt(path, "UPDATE jfs_node SET nlink = 9 WHERE inode = 2")
    assert list(look_at(meta.engine, RepairOptions(path="/upper/lower"))) == []
    assert len(list(look_at(meta.engine, RepairOptions(path="/upper")))) == 1
