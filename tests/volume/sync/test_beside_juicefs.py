"""The same trees and rules through `juicefs sync`: the same files arrive."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.rules import Rule
from roost.volume.sync.runner import Job
from tests.volume.sync.places import quick_folder, run, tree_of

JUICEFS = Path(sys.executable).with_name("juicefs")
PARTS = ["a", "b", "ab", "a1", "*", "**", "?", "a*", "[ab]", "[^a]", "a**b", "***", "*b", "**b"]
FOLDERS = ["a", "ab", "a1"]  # never a file's names: there juicefs fails
FILES = ["b", "bb", "c"]

pytestmark = pytest.mark.interop


@pytest.fixture
def folder() -> Iterator[Path]:
    if not JUICEFS.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("juicefs is not installed")
        pytest.skip("juicefs is not installed")
    made = quick_folder()
    yield made
    shutil.rmtree(made)


def make_tree(folder: Path, chance: random.Random, sizes: tuple[int, ...]) -> None:
    folder.mkdir()
    for _ in range(chance.randrange(1, 14)):
        above = [chance.choice(FOLDERS) for _ in range(chance.randrange(3))]
        path = folder.joinpath(*above, chance.choice(FILES))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * chance.choice(sizes))
        time = chance.randrange(1, 4) * 1_000_000_000
        os.utime(path, ns=(time, time))


def pattern(chance: random.Random) -> str:
    parts = [chance.choice(PARTS) for _ in range(chance.randrange(1, 4))]
    return chance.choice(["", "", "/"]) + "/".join(parts) + chance.choice(["", "", "/"])


def by_juicefs(source: Path, target: Path, flags: list[str]) -> None:
    ran = subprocess.run(
        [str(JUICEFS), "sync", *flags, "--metrics", "127.0.0.1:0", f"{source}/", f"{target}/"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    errors = [line for line in ran.stderr.splitlines() if "<ERROR>" in line]
    kept = [line for line in errors if "directory not empty" in line]  # excluded files lie there
    assert errors == kept, ran.stderr
    assert ran.returncode == (1 if kept else 0), ran.stderr


def one_example(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    source = folder / f"source{seed}"
    make_tree(source, chance, (0, 1, 2))
    ours, theirs = folder / f"ours{seed}", folder / f"theirs{seed}"
    make_tree(ours, chance, (0, 1, 2))
    shutil.copytree(ours, theirs)
    rules = tuple(Rule(pattern(chance), chance.random() < 0.4) for _ in range(chance.randrange(4)))
    if rules and all(rule.include for rule in rules):
        rules = (*rules, Rule("*", include=False))
    full = chance.random() < 0.4
    words = {
        word: chance.random() < 0.3
        for word in ("update", "existing", "ignore_existing", "dirs", "delete_dst")
    }
    words["ignore_existing"] &= not words["existing"]
    flags = [f"--{word.replace('_', '-')}" for word, wanted in words.items() if wanted]
    flags += [f"--{'include' if r.include else 'exclude'}={r.pattern}" for r in rules]
    flags += ["--match-full-path"] if full else []
    by_juicefs(source, theirs, flags)
    selection = Selection(rules=rules, match_full_path=full)
    run(Job(LocalTree(source), LocalTree(ours), selection, Options(**words)))
    assert tree_of(ours) == tree_of(theirs), (seed, flags, sorted(tree_of(source)))


@pytest.mark.parametrize("seed", range(12))
def test_what_arrives_is_what_juicefs_brings(folder: Path, seed: int) -> None:
    one_example(folder, seed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_arrives_is_what_juicefs_brings_at_length(folder: Path) -> None:
    for seed in range(1000, 1300):
        one_example(folder, seed)
