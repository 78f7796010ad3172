"""What a sync selects: ranges, limits, lists of files; what it only tells."""

from pathlib import Path

import pytest

from roost.errors import InvalidArgument
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.rules import Rule
from tests.volume.sync.places import SECOND_NS, Quiet, make, names, sync, tree_of


def test_start_and_end_are_part_of_the_range(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "b/1", "b/2", "b/3", "c/1", "d")
    sync(source, tmp_path / "t", selection=Selection(start="b/2", end="c/1"))
    assert names(tmp_path / "t") == "b b/2 b/3 c c/1"
    sync(source, tmp_path / "u", selection=Selection(start="b/", end="b"))
    assert not (tmp_path / "u").exists()


def test_limits_of_size_and_age_are_for_files(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "small", size=1, seconds=1000)
    make(source, "large", size=100, seconds=3000)
    make(source, "folder/")
    dirs = Options(dirs=True)
    sized = Selection(size_bytes_min=50)
    assert sync(source, tmp_path / "t", dirs, sized).excluded == 1
    assert names(tmp_path / "t") == "folder large"
    sync(source, tmp_path / "u", selection=Selection(size_bytes_max=50))
    assert names(tmp_path / "u") == "small"
    sync(source, tmp_path / "v", selection=Selection(newer_than_ns=2000 * SECOND_NS))
    assert names(tmp_path / "v") == "large"
    sync(source, tmp_path / "w", selection=Selection(older_than_ns=2000 * SECOND_NS))
    assert names(tmp_path / "w") == "small"


def test_what_the_source_has_is_never_extra_because_a_limit_left_it_out(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "kept", size=100, seconds=3000)
    target = make(tmp_path / "t", "kept", "gone", size=1, seconds=1000)
    options = Options(delete_dst=True)
    sync(source, target, options, Selection(older_than_ns=2000 * SECOND_NS))
    assert names(target) == "kept"


def test_excluded_keys_are_not_deleted(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a")
    target = make(tmp_path / "t", "b.log", "c/d.log", "e")
    rules = (Rule("*.log", include=False),)
    counts = sync(source, target, Options(delete_dst=True, dirs=True), Selection(rules=rules))
    assert names(target) == "a b.log c c/d.log"
    assert (counts.deleted, counts.excluded) == (1, 2)


def test_a_limit_counts_what_is_handled(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "b", "c", "d")
    target = make(tmp_path / "t", "a", "0")
    counts = sync(source, target, Options(limit=3, delete_dst=True))
    assert (counts.found, counts.deleted, counts.skipped, counts.copied) == (3, 1, 1, 1)
    assert names(target) == "a b"
    assert sync(source, target, Options(limit=0)).found == 0


def test_a_dry_run_changes_nothing_and_tells(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "d/b", "e/")
    target = make(tmp_path / "t", "x/y", "a", size=2)
    before = tree_of(target)
    watcher = Quiet()
    options = Options(dry=True, dirs=True, delete_dst=True, delete_src_after=True)
    counts = sync(source, target, options, watcher=watcher)
    assert tree_of(target) == before
    assert names(source) == "a d d/b e"
    assert [step.key for step in watcher.plans] == ["a", "d/", "d/b", "e/", "x/y", "x/"]
    assert (counts.copied, counts.deleted) == (4, 2)


def test_a_list_of_files_is_synced_line_by_line(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "b/1", "b/c/2", "d/3", "e")
    target = make(tmp_path / "t", "b/old", "d/old")
    lines = ["a\n", "b/\n", "missing\n", "\n", "d\n", "b/c/2\n"]
    counts = sync(source, target, Options(delete_dst=True), lines=lines)
    assert names(target) == "a b b/1 b/c b/c/2 d d/3"
    assert counts.absent == 1
    for bad in ("../x", "/etc/passwd", "a//b", "./a"):
        with pytest.raises(InvalidArgument):
            sync(source, target, lines=[bad])


def test_unfinished_files_and_checkpoints_are_not_copied(tmp_path: Path) -> None:
    draft = f".roost-sync-{'0' * 16}-{'1' * 16}.tmp"
    source = make(tmp_path / "s", "a", draft, ".roost-sync-checkpoint.0.json")
    sync(source, tmp_path / "t")
    assert names(tmp_path / "t") == "a"
