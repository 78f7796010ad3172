"""Random trees on both sides, random flags, against a plain dictionary that does the same."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.items import ancestors, order
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.runner import Job
from tests.volume.sync import places
from tests.volume.sync.places import File, Tree, fill, read_back, run, trees

MAKERS: dict[str, Callable[[Path], Endpoint]] = {
    "directory": places.local,
    "volume": places.volume,
    "bucket": places.bucket,
}
PAIRS = [
    ("directory", "directory"),
    ("directory", "volume"),
    ("volume", "directory"),
    ("directory", "bucket"),
    ("bucket", "directory"),
]
SWITCHES = (
    "update",
    "force_update",
    "dirs",
    "perms",
    "delete_src_after",
    "delete_dst",
    "check_all",
)
FLAGS = st.tuples(
    st.sets(st.sampled_from(SWITCHES)),
    st.sampled_from([set(), set(), {"existing"}, {"ignore_existing"}]),
).map(lambda chosen: dict.fromkeys(sorted(chosen[0] | chosen[1]), True))


def plain_sync(source: Tree, target: Tree, options: Options, folders: bool) -> tuple[Tree, Tree]:
    """Return what both sides should hold afterwards; times and modes only of files."""
    after_source, after_target = dict(source), dict(target)
    dirs = options.dirs and folders
    for key in sorted({*source, *target}, key=order):
        if key.endswith("/"):
            if key in source and key not in target and dirs and not options.existing:
                after_target[key] = source[key]
            continue
        if key not in source:
            if options.delete_dst:
                del after_target[key]
            continue
        mine, there = source[key], target.get(key)
        if _is_copied(mine, there, options):
            kept = mine.mode if options.perms else 0o644
            after_target[key] = replace(mine, mode=kept)
            if options.delete_src_after:
                del after_source[key]
        elif options.perms and there is not None and _looks_same(mine, there, options):
            after_target[key] = replace(there, mode=mine.mode)
    for key in sorted(after_target, key=order):  # folders that files need
        parts = key.rstrip("/").split("/")[:-1]
        for count in range(1, len(parts) + 1):
            after_target.setdefault("/".join(parts[:count]) + "/", File())
    if dirs and options.delete_dst:
        _remove_empty(after_target, lambda key: key not in source)
    if dirs and options.delete_src_after:
        _remove_empty(after_source, lambda key: key in after_target)
    return after_source, after_target


def _remove_empty(tree: Tree, may_go: Callable[[str], bool]) -> None:
    for key in sorted(tree, key=order, reverse=True):
        empty = not any(other != key and other.startswith(key) for other in tree)
        if key.endswith("/") and empty and may_go(key):
            del tree[key]


def _looks_same(mine: File, there: File, options: Options) -> bool:
    if options.ignore_existing:
        return False
    return mine.time == there.time if options.update else True


def _is_copied(mine: File, there: File | None, options: Options) -> bool:
    if there is None:
        return not options.existing
    if options.ignore_existing:
        return False
    if options.force_update:
        return True
    if options.update:
        if mine.time != there.time:
            return mine.time > there.time
    elif len(mine.data) != len(there.data):
        return True
    return options.check_all and mine.data != there.data


def clashes(source: Tree, target: Tree) -> bool:
    """A name is a file on one side and a folder on the other."""
    keys = [*source, *target]
    folders = {f[:-1] for key in keys for f in [*ancestors(key), key] if f.endswith("/")}
    return any(key in folders for tree in (source, target) for key in tree)


def bare(tree: Tree, *, modes: bool, times: bool, folders: bool) -> dict[str, File]:
    """The tree without what the place cannot keep, or what a folder's time depends on."""
    found = {}
    for key, file in tree.items():
        if key.endswith("/"):
            if folders:
                found[key] = File()
        else:
            found[key] = File(file.data, file.time if times else 0, file.mode if modes else 0)
    return found


@pytest.mark.parametrize(("source_kind", "target_kind"), PAIRS)
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(left=trees(), right=trees(), flags=FLAGS)
def test_a_sync_does_what_a_plain_dictionary_does(
    source_kind: str, target_kind: str, left: Tree, right: Tree, flags: dict[str, bool]
) -> None:
    options = Options(**flags, threads=3)
    if "bucket" in (source_kind, target_kind):  # it keeps neither times nor folders nor such names
        options = replace(options, update=False)
        left, right = (
            {k: f for k, f in tree.items() if not k.endswith("/") and "\udc80" not in k}
            for tree in (left, right)
        )
    if clashes(left, right):
        return
    folder = places.quick_folder()
    source = MAKERS[source_kind](folder / "source")
    target = MAKERS[target_kind](folder / "target")
    try:
        fill(source, left)
        fill(target, right)
        left, right = read_back(source), read_back(target)
        counts = run(Job(source, target, Selection(), options))
        assert counts.failed == 0
        folders = "bucket" not in (source_kind, target_kind)
        expected = plain_sync(left, right, options, folders)
        for endpoint, wanted in zip((source, target), expected, strict=True):
            keeps = endpoint.abilities
            shown = {
                "modes": keeps.modes and folders,
                "times": keeps.times and folders,
                "folders": keeps.folders and folders,
            }
            assert bare(read_back(endpoint), **shown) == bare(wanted, **shown)
        if not options.delete_src_after and not options.force_update and not options.existing:
            again = run(Job(source, target, Selection(), options))
            assert (again.copied, again.deleted, again.failed) == (0, 0, 0)
    finally:
        source.close()
        target.close()
        shutil.rmtree(folder)
