"""What is reached through links, bind mounts or rules of whole paths is known for what it is."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.errors import InvalidArgument
from roost.testing.volumes import TestVolume
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.location import Location
from roost.volume.sync.one_file import OneFile
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.rules import Rule
from roost.volume.sync.runner import Job
from roost.volume.sync.volume_tree import VolumeTree
from tests.volume.sync.places import Quiet, run, tree_of

WHOLE_PATHS = ("in/", "/in/", "in", "*/")
DELETING = Options(delete_dst=True, dirs=True)


def make(folder: Path, **content: str) -> Path:
    """Files by their names, "__" for "/", "ZZ" for what does not matter."""
    for name, text in content.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def whole_paths(*patterns: str, include: tuple[str, ...] = ()) -> Selection:
    rules = [*(Rule(p, include=True) for p in include), *(Rule(p, include=False) for p in patterns)]
    return Selection(rules=tuple(rules), match_full_path=True)


@pytest.mark.parametrize("pattern", WHOLE_PATHS)
@pytest.mark.parametrize("dirs", [False, True])
def test_a_rule_that_excludes_a_folder_alone_does_not_let_what_is_in_it_be_deleted(
    tmp_path: Path, pattern: str, dirs: bool
) -> None:
    target = make(tmp_path / "t", x="x", in__y="y", in__z="z")
    before = tree_of(target)
    options = Options(delete_dst=True, dirs=dirs)
    job = Job(LocalTree(target / "in"), LocalTree(target), whole_paths(pattern), options)
    with pytest.raises(InvalidArgument, match="would delete it"):
        run(job)
    assert tree_of(target) == before


def test_a_rule_that_excludes_a_folder_alone_does_not_let_it_be_copied_into_itself(
    tmp_path: Path,
) -> None:
    source = make(tmp_path / "s", x="x", out__old="old")
    before = tree_of(source)
    with pytest.raises(InvalidArgument, match="into itself"):
        run(Job(LocalTree(source), LocalTree(source / "out"), whole_paths("out/")))
    assert tree_of(source) == before


@pytest.mark.parametrize("name", ["in", "i n", "[i]*?", "a\\b", "it's"])
@pytest.mark.parametrize("full_path", [False, True])
@pytest.mark.parametrize("include", [(), ("*",), ("*/", "*")])
def test_the_hint_is_safe_to_follow(
    tmp_path: Path, name: str, full_path: bool, include: tuple[str, ...]
) -> None:
    for other in ("x", "ib/keep", f"{name}/y", f"{name}/n/z"):
        path = tmp_path / "t" / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(other)
    target, inner = tmp_path / "t", tmp_path / "t" / name
    rules = tuple(Rule(pattern, include=True) for pattern in include)
    before = tree_of(inner)

    def job(rules: tuple[Rule, ...], *, into: bool) -> Job:
        selection = Selection(rules=rules, match_full_path=full_path)
        sides = (target, inner) if into else (inner, target)
        return Job(LocalTree(sides[0]), LocalTree(sides[1]), selection, DELETING)

    for into in (False, True):
        with pytest.raises(InvalidArgument) as refused:
            run(job(rules, into=into))
        words = shlex.split(refused.value.hint or "")
        pattern = words[words.index("--exclude") + 1]
        assert run(job((Rule(pattern, include=False), *rules), into=into)).failed == 0
        assert before.items() <= tree_of(inner).items()
    assert (inner / "x").exists() == (target / "x").exists()
    assert not (inner / name).exists()


def test_of_rules_for_whole_paths_one_for_all_in_the_folder_is_needed(tmp_path: Path) -> None:
    target = make(tmp_path / "t", x="x", in__y="y")
    source = LocalTree(target / "in")
    with pytest.raises(InvalidArgument, match="would delete it"):  # the first rule decides
        run(Job(source, LocalTree(target), whole_paths("in/***", include=("*/y",)), DELETING))
    run(Job(source, LocalTree(target), whole_paths("in/***"), DELETING))
    assert tree_of(target) == {"in": None, "in/y": b"y", "y": b"y"}


def test_a_folder_of_a_volume_is_known_behind_links(volume: TestVolume) -> None:
    client, again = volume.open(), volume.open()
    client.mkdir("/a/b", parents=True)
    client.write("/a/f", b"x")
    for link, leads in (("/lnk", "a"), ("/two", "/lnk/"), ("/a/up", "../a/b/.."), ("/a/abs", "/a")):
        client.symlink(leads, link)
    for path in ("/lnk", "two", "/lnk/../lnk", "/a/up", "/a/abs", "/two/b/../up"):
        job = Job(
            VolumeTree(client, "/a"), VolumeTree(again, path), options=Options(delete_src=True)
        )
        with pytest.raises(InvalidArgument, match="same place"):
            run(job)
    with pytest.raises(InvalidArgument, match="into itself"):
        run(Job(VolumeTree(client, "/a"), VolumeTree(again, "/two/b/not/yet")))
    assert client.read("/a/f") == b"x"
    found = [VolumeTree(client, "/a").location_of(key).file for key in ("f", "f/x", "b")]
    assert found == [client.node("/a/f").ino, None, None]
    client.symlink("circle", "/circle")
    assert VolumeTree(client, "/circle/x").location_of("y").parts == ("circle", "x", "y")
    assert (
        VolumeTree(client, "/none/../a")
        .location_of("")
        .key_in(VolumeTree(client, "/a").location_of(""))
        == ""
    )


def test_a_folder_that_has_two_paths_is_one() -> None:
    """As a bind mount gives it: other names, the same device and inode."""
    root = Location("file", ("data", "x"), ((1, 2), (1, 3), (1, 4)))
    bound = Location("file", ("mnt", "y"), ((1, 2), (1, 9), (1, 4)))
    assert bound.key_in(root) == ""
    inner = Location("file", ("mnt", "y", "new"), bound.identities)
    assert (inner.key_in(root), root.key_in(inner)) == ("new", None)
    assert root.overlaps(inner)
    bound_new = Location("file", ("data", "x", "new", "f"), root.identities)
    assert bound_new.key_in(inner) == "f"  # what does not exist is known by what is above it
    assert Location("file", ("data", "x", "newer"), root.identities).key_in(inner) is None
    other = Location("file", ("mnt", "z"), ((1, 2), (1, 9), (1, 5)))
    assert not other.overlaps(root)
    unknown = Location("file", ("mnt", "z"), ((1, 2), None, None))
    assert not unknown.overlaps(Location("file", ("data", "x"), ((1, 2), None, None)))
    assert not Location("file").overlaps(Location("a volume"))


def test_a_directory_s_location_holds_the_identities_of_all_folders_above(tmp_path: Path) -> None:
    make(tmp_path / "a", b__f="f")
    (tmp_path / "lnk").symlink_to("a")
    found = LocalTree(tmp_path / "lnk").location_of("b/none/x")
    assert "/" + "/".join(found.parts) == os.path.realpath(tmp_path / "a/b/none/x")
    above = [Path("/"), *reversed(Path(os.path.realpath(tmp_path / "a/b")).parents)][1:]
    above.append(tmp_path / "a/b")
    assert list(found.identities) == [(s.st_dev, s.st_ino) for s in map(os.stat, above)]


def problem_of(job: Job) -> str:
    """Return the words of the error that ends the job, or of those of single keys."""
    watcher = Quiet()
    try:
        run(job, watcher)
    except InvalidArgument as error:
        return str(error)
    return " ".join(map(str, watcher.errors.values()))


Sides = Callable[..., Job]


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """Makes a job between two folders, to a list of lines or all of it."""

    def made(source: str, target: str, *lines: str, options: Options | None = None) -> Job:
        ends = LocalTree(tmp_path / source), LocalTree(tmp_path / target)
        return Job(*ends, options=options or Options(), lines=(lambda: lines) if lines else None)

    return made


LINES = [(), ("d/",), ("d",), ("d/a",)]


@pytest.mark.parametrize("lines", LINES)
@pytest.mark.parametrize(
    "options",
    [Options(), Options(dirs=True, force_update=True), Options(inplace=True), DELETING],
)
def test_nothing_is_written_where_a_link_at_the_target_leads_into_the_source(
    tmp_path: Path, sides: Sides, lines: tuple[str, ...], options: Options
) -> None:
    target = make(tmp_path / "t", in__a="precious", in__d__a="other one")
    (target / "d").symlink_to("in")
    if options.delete_dst and not lines:
        options = Options(dirs=True)  # else the source in the target is refused as such
    assert "leads into" in problem_of(sides("t/in", "t", *lines, options=options))
    assert (target / "in/a").read_text() == "precious"
    assert (target / "in/d/a").read_text() == "other one"


@pytest.mark.parametrize("lines", [("lnk",), ("lnk/",), ("lnk/x",), ("one",), ()])
def test_nothing_is_copied_that_a_link_at_the_source_finds_at_the_target(
    tmp_path: Path, sides: Sides, lines: tuple[str, ...]
) -> None:
    """Each run would copy what the last one made, one level deeper."""
    source = make(tmp_path / "s", x="x", out__x="old")
    (source / "lnk").symlink_to("out")
    (source / "one").symlink_to("out/x")
    job = sides("s", "s/out", *lines)
    if not lines:
        job = Job(job.source, job.target, Selection(rules=(Rule("/out/", include=False),)))
    if lines == ("one",):
        assert run(job).failed == 0
    else:
        assert "leads into" in problem_of(job)
    assert not (source / "out/lnk").exists()
    assert (source / "out/x").read_text() == ("x" if not lines else "old")


@pytest.mark.parametrize("name", ["d", "d/f"])
@pytest.mark.parametrize(
    "options", [Options(delete_src=True), Options(delete_src=True, check_all=True)]
)
def test_a_source_is_not_deleted_whose_copy_is_a_link_to_it(
    tmp_path: Path, sides: Sides, name: str, options: Options
) -> None:
    source = make(tmp_path / "s", d__f="the only one", e="e")
    target = make(tmp_path / "t", x="x")
    (target / name).parent.mkdir(exist_ok=True)
    (target / name).symlink_to(source / name)
    watcher = Quiet()
    assert run(sides("s", "t", options=options), watcher).failed == 1
    assert "leads into" in str(watcher.errors["d/f"])
    assert (source / "d/f").read_text() == "the only one"
    assert (target / "e").read_text() == "e"


@pytest.mark.parametrize("name", ["d", "d/f"])
def test_a_file_is_not_written_over_itself_where_links_of_both_sides_lead_to_it(
    tmp_path: Path, sides: Sides, name: str
) -> None:
    third = make(tmp_path / "third", d__f="precious")
    for side in ("s", "t"):
        make(tmp_path / side, x="x")
        (tmp_path / side / name).parent.mkdir(exist_ok=True)
        (tmp_path / side / name).symlink_to(third / name)
    options = Options(inplace=True, force_update=True)
    assert run(sides("s", "t", options=options)).failed == 1
    assert (third / "d/f").read_text() == "precious"
    assert run(sides("s", "t", options=Options(dirs=True, delete_dst=True))).failed == 0


def test_links_of_both_sides_that_lead_into_each_other_are_not_synced(
    tmp_path: Path, sides: Sides
) -> None:
    """Each run would copy the one folder one level deeper into itself."""
    third = make(tmp_path / "third", f="f", y__g="g")
    make(tmp_path / "s", x="x")
    make(tmp_path / "t", x="x")
    (tmp_path / "s/d").symlink_to(third)
    (tmp_path / "t/d").symlink_to(third / "y")
    before = tree_of(third)
    assert "into itself" in problem_of(sides("s", "t"))
    assert "into itself" in problem_of(sides("s", "t", "d/"))
    assert tree_of(third) == before


def test_a_copy_that_is_a_link_to_its_source_is_no_matter_if_nothing_is_deleted(
    tmp_path: Path, sides: Sides
) -> None:
    source, target = make(tmp_path / "s", f="f"), make(tmp_path / "t", x="x")
    (target / "f").symlink_to(source / "f")
    assert run(sides("s", "t", options=Options(check_all=True))).failed == 0
    for folder in (source, target):
        (folder / "to").symlink_to(source / "nowhere")
    (target / "f").unlink()
    assert run(sides("s", "t", options=Options(links=True, delete_src=True))).failed == 0
    assert not (source / "to").is_symlink()  # the link itself is what was synced


@pytest.mark.parametrize("kind", ["directory", "volume"])
def test_a_file_is_not_written_over_itself_by_its_other_name(
    tmp_path: Path, volume: TestVolume, kind: str
) -> None:
    """In place, a hard link at the target is the source's file itself."""
    client = volume.open()
    if kind == "directory":
        make(tmp_path / "s", d__f="precious")
        (tmp_path / "t/d").mkdir(parents=True)
        os.link(tmp_path / "s/d/f", tmp_path / "t/d/f")
        ends: tuple[Endpoint, Endpoint] = (LocalTree(tmp_path / "s"), LocalTree(tmp_path / "t"))
    else:
        for folder in ("/s/d", "/t/d"):
            client.mkdir(folder, parents=True)
        client.write("/s/d/f", b"precious")
        client.link("/s/d/f", "/t/d/f")
        ends = VolumeTree(client, "/s"), VolumeTree(client, "/t")
    watcher = Quiet()
    options = Options(inplace=True, force_update=True)
    assert run(Job(*ends, options=options), watcher).failed == 1
    assert "one file" in str(watcher.errors["d/f"])
    for end in ends:
        with end.open("d/f") as reader:
            assert reader.read(0, 100) == b"precious"
    assert run(Job(*ends, options=Options(force_update=True))).failed == 0
    assert run(Job(*ends, options=Options(delete_src=True))).failed == 0
    with ends[1].open("d/f") as reader:
        assert reader.read(0, 100) == b"precious"


def test_links_that_are_copied_as_links_are_not_followed_by_deletions(
    tmp_path: Path, sides: Sides
) -> None:
    target = make(tmp_path / "t", real__x="x", cur__old="old")
    source = make(tmp_path / "s", real__x="x")
    (source / "cur").symlink_to(target / "real")
    options = Options(links=True, dirs=True, delete_dst=True)
    assert run(sides("s", "t", options=options)).failed == 0
    assert tree_of(target)["cur"] == str(target / "real")


def test_a_single_file_is_known_behind_a_link(tmp_path: Path) -> None:
    folder = make(tmp_path / "s", a="a")
    (folder / "lnk").symlink_to("a")
    ends = OneFile(LocalTree(folder), "a", "a"), OneFile(LocalTree(folder), "lnk", "a")
    for source, target in (ends, reversed(ends)):
        with pytest.raises(InvalidArgument, match="same place"):
            run(Job(source, target, options=Options(delete_src=True)))
    assert (folder / "lnk").read_text() == "a"
    assert run(Job(ends[0], OneFile(LocalTree(folder), "b", "a"))).copied == 1


def test_a_link_to_elsewhere_is_no_matter(tmp_path: Path, sides: Sides) -> None:
    elsewhere = make(tmp_path / "e", f="f", d__g="g")
    make(tmp_path / "s", x="x", to__h="h")
    make(tmp_path / "t/in", y="y")
    (tmp_path / "s/lnk").symlink_to(elsewhere)
    (tmp_path / "t/to").symlink_to(elsewhere / "d")
    assert run(sides("s", "t", options=Options(dirs=True, inplace=True))).failed == 0
    assert tree_of(elsewhere / "d") == {"g": b"g", "h": b"h"}
    assert run(sides("t", "t/in", "to")).failed == 0
    assert (tmp_path / "t/in/to/h").read_text() == "h"


class Gone(LocalTree):
    """A source whose files are removed, at both sides, when they are opened."""

    def __init__(self, root: Path, twin: Path) -> None:
        super().__init__(root)
        self._both = (root, twin)

    def open(self, key: str):  # type: ignore[no-untyped-def]
        for folder in self._both:
            (folder / key).unlink(missing_ok=True)
        return super().open(key)


@pytest.mark.parametrize("options", [Options(), DELETING, Options(delete_src_after=True)])
def test_a_copy_that_failed_is_told_if_the_run_may_have_deleted_its_source(
    tmp_path: Path, options: Options
) -> None:
    make(tmp_path / "s", f="f")
    target = make(tmp_path / "t", f="other")
    watcher = Quiet()
    job = Job(Gone(tmp_path / "s", target), LocalTree(target), options=options)
    assert run(job, watcher).failed == (options != Options())
    assert list(watcher.errors) == ["f"]
