"""Manifest versions, pins and doomed files: hazards H2 and H21."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from roost.errors import AlreadyExists, CommitUnknown, CorruptRecord, LeaseLost, NotFound, Refusal
from roost.vector.api import NewCollection
from roost.vector.catalog import tables
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.database import Database
from roost.vector.catalog.values import Pin
from roost.vector.errors import CollectionNotFound
from roost.vector.manifest import IndexFile, Manifest, SegmentEntry
from roost.vector.schema import CollectionSchema, DataType, Field

SCHEMA = CollectionSchema((Field("id", DataType.INT64, primary=True),))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    opened.create_collection(NewCollection("books", SCHEMA), 1, 0)
    yield opened
    opened.close()


def segment(number: int) -> SegmentEntry:
    return SegmentEntry(
        number,
        1,
        f"segment/{number}",
        10,
        100,
        1,
        2,
        deletes=(f"deletes/{number}",),
        indexes=(IndexFile(1, 100, f"index/{number}"),),
    )


def manifest(version: int, *segments: int, generation: int = 0, collection: int = 1) -> Manifest:
    return Manifest(
        collection, version, generation, version * 10, tuple(segment(n) for n in segments)
    )


def test_versions_are_read_back_as_committed(catalog: Catalog) -> None:
    versions = [manifest(1), manifest(2, 1), manifest(3, 1, 2)]
    assert catalog.latest_manifest(1) is None
    for version in versions:
        catalog.commit_manifest(version)
    assert catalog.latest_manifest(1) == versions[2]
    assert catalog.manifest(1, 2) == versions[1]
    assert catalog.manifests_after(1, 1) == versions[1:]
    assert catalog.latest_manifests() == {1: versions[2]}
    with pytest.raises(NotFound):
        catalog.manifest(1, 4)


def test_a_commit_raises_the_change_counter(catalog: Catalog) -> None:
    before = catalog.change_counter()
    catalog.commit_manifest(manifest(1))
    assert catalog.change_counter() > before


def test_the_very_same_manifest_again_settles_a_lost_answer(catalog: Catalog) -> None:
    catalog.commit_manifest(manifest(1, 1))
    catalog.commit_manifest(manifest(1, 1))
    with pytest.raises(AlreadyExists):
        catalog.commit_manifest(manifest(1, 2))
    assert catalog.latest_manifest(1) == manifest(1, 1)


@pytest.mark.parametrize("version", [0, 2, 5])
def test_a_version_follows_its_predecessor_without_a_gap(catalog: Catalog, version: int) -> None:
    with pytest.raises(AlreadyExists, match="gap"):
        catalog.commit_manifest(manifest(version))
    assert catalog.latest_manifest(1) is None


def test_an_old_generation_commits_no_row(catalog: Catalog, tmp_path: Path) -> None:
    """H2, over two catalogs as two processes have them."""
    standby = Catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    old = catalog.claim_generation("old", catalog.lease(), 3.0)
    catalog.commit_manifest(manifest(1, 1, generation=old.generation))
    new = standby.claim_generation("new", standby.lease(), 3.0)
    with pytest.raises(LeaseLost):
        catalog.commit_manifest(manifest(2, 2, generation=old.generation))
    standby.commit_manifest(manifest(2, 3, generation=new.generation))
    assert catalog.manifests_after(1, 0) == [
        manifest(1, 1, generation=1),
        manifest(2, 3, generation=2),
    ]
    standby.close()


def test_two_that_race_for_the_lease_and_commit_never_both_succeed(
    catalog: Catalog, tmp_path: Path
) -> None:
    """Whoever commits version n does so while the lease is his."""
    catalogs = [catalog, Catalog(f"sqlite:///{tmp_path / 'catalog.db'}")]
    committed: list[tuple[int, int]] = []
    barrier = threading.Barrier(2)

    def compete(mine: Catalog, name: str) -> None:
        barrier.wait()
        for _ in range(40):
            try:
                row = mine.claim_generation(name, mine.lease(), 3.0)
                latest = mine.latest_manifest(1)
                version = latest.version + 1 if latest else 1
                mine.commit_manifest(manifest(version, generation=row.generation))
            except (LeaseLost, AlreadyExists):
                continue
            committed.append((version, row.generation))

    threads = [
        threading.Thread(target=compete, args=(c, n)) for c, n in zip(catalogs, "ab", strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [(m.version, m.generation) for m in catalog.manifests_after(1, 0)]
    assert sorted(committed) == stored
    assert [version for version, _ in stored] == list(range(1, len(stored) + 1))
    assert [generation for _, generation in stored] == sorted({g for _, g in stored})
    catalogs[1].close()


def test_no_version_of_a_collection_that_is_gone(catalog: Catalog) -> None:
    catalog.commit_manifest(manifest(1, 1))
    catalog.drop_collection(1, 0)
    with pytest.raises(CollectionNotFound):
        catalog.commit_manifest(manifest(2, 1))
    with pytest.raises(CollectionNotFound):
        catalog.commit_manifest(manifest(1, collection=42))
    assert catalog.latest_manifests() == {}
    assert catalog.latest_manifest(1) == manifest(1, 1), "its files are still named"


def test_the_counter_rises_when_the_newest_manifests_are_forgotten(catalog: Catalog) -> None:
    catalog.create_collection(NewCollection("films", SCHEMA), 1, 0)
    catalog.commit_manifest(manifest(1, collection=1))
    for version in range(1, 6):
        catalog.commit_manifest(manifest(version, version, collection=2))
    catalog.drop_collection(2, 0)
    before = catalog.change_counter()
    catalog.forget_collection(2, 0)
    after = catalog.change_counter()
    catalog.commit_manifest(manifest(2, collection=1))
    assert before < after < catalog.change_counter()


def test_prune_keeps_the_latest_and_pinned_versions(catalog: Catalog) -> None:
    for version in range(1, 6):
        catalog.commit_manifest(manifest(version, version))
    catalog.pin(Pin("monday", 1, 2), 0)
    assert catalog.prune_manifests(1, 99, 0) == 3
    assert [m.version for m in catalog.manifests_after(1, 0)] == [2, 5]
    catalog.unpin("monday", 0)
    assert catalog.prune_manifests(1, 5, 0) == 1
    assert catalog.prune_manifests(1, 5, 0) == 0
    assert catalog.prune_manifests(9, 5, 0) == 0


def test_pins_have_distinct_names_and_existing_versions(catalog: Catalog) -> None:
    catalog.commit_manifest(manifest(1))
    catalog.pin(Pin("a", 1, 1), 0)
    with pytest.raises(AlreadyExists):
        catalog.pin(Pin("a", 1, 1), 0)
    with pytest.raises(NotFound):
        catalog.pin(Pin("b", 1, 2), 0)
    assert catalog.pins() == [Pin("a", 1, 1)]


def test_only_what_no_version_names_is_doomed(catalog: Catalog) -> None:
    catalog.commit_manifest(manifest(1, 1))
    catalog.commit_manifest(manifest(2, 2))
    candidates = [f"{kind}/{n}" for n in (1, 2, 3) for kind in ("segment", "deletes", "index")]
    assert catalog.doom(candidates, 0, 5) == ["deletes/3", "index/3", "segment/3"]
    catalog.prune_manifests(1, 2, 0)
    assert catalog.doom(candidates[:3], 0, 6) == ["deletes/1", "index/1", "segment/1"]
    assert [(d.path, d.doomed_ms) for d in catalog.doomed()][:4] == [
        ("deletes/3", 5),
        ("index/3", 5),
        ("segment/3", 5),
        ("deletes/1", 6),
    ]
    assert catalog.doom(candidates[:3], 0, 9) == ["deletes/1", "index/1", "segment/1"]
    assert catalog.doomed()[-1].doomed_ms == 6, "the grace time does not begin anew"


@pytest.mark.parametrize("path", ["segment/7", "deletes/7", "index/7"])
def test_no_version_may_name_what_is_doomed(catalog: Catalog, path: str) -> None:
    catalog.doom([path], 0, 5)
    with pytest.raises(Refusal, match=path):
        catalog.commit_manifest(manifest(1, 7))
    catalog.undoom([path], 0)
    catalog.commit_manifest(manifest(1, 7))
    assert catalog.doomed() == []


def test_a_version_committed_while_garbage_is_looked_for_saves_its_files(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H21: the reference appears between the look and the mark."""
    look = catalog._named_paths
    versions = iter([manifest(1, 3)])

    def look_then_commit() -> tuple[int, set[str]]:
        seen = look()
        for version in versions:
            catalog.commit_manifest(version)
        return seen

    monkeypatch.setattr(catalog, "_named_paths", look_then_commit)
    assert catalog.doom(["segment/3", "segment/4"], 0, 5) == ["segment/4"]


def test_a_reference_that_takes_a_freed_sequence_number_is_noticed(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.create_collection(NewCollection("films", SCHEMA), 1, 0)
    catalog.commit_manifest(manifest(1, collection=2))
    catalog.drop_collection(2, 0)
    look = catalog._named_paths
    pending = [True]

    def look_then_swap() -> tuple[int, set[str]]:
        seen = look()
        if pending.pop() if pending else False:
            catalog.forget_collection(2, 0)
            catalog.commit_manifest(manifest(1, 3))
        return seen

    monkeypatch.setattr(catalog, "_named_paths", look_then_swap)
    assert catalog.doom(["segment/3"], 0, 5) == []


def test_a_deposed_writer_neither_dooms_nor_prunes_nor_pins(catalog: Catalog) -> None:
    for version in (1, 2):
        catalog.commit_manifest(manifest(version))
    catalog.doom(["old"], 0, 1)
    catalog.claim_generation("next", catalog.lease(), 3.0)
    for change in (
        lambda: catalog.doom(["new"], 0, 5),
        lambda: catalog.undoom(["old"], 0),
        lambda: catalog.prune_manifests(1, 2, 0),
        lambda: catalog.pin(Pin("a", 1, 1), 0),
        lambda: catalog.forget_collection(7, 0),
    ):
        with pytest.raises(LeaseLost):
            change()
    assert [d.path for d in catalog.doomed()] == ["old"]
    assert len(catalog.manifests_after(1, 0)) == 2
    assert catalog.pins() == []


def test_a_damaged_manifest_is_named_not_skipped(catalog: Catalog, tmp_path: Path) -> None:
    catalog.commit_manifest(manifest(1, 1))
    database = Database(f"sqlite:///{tmp_path / 'catalog.db'}")
    database.execute_alone(sa.update(tables.manifests).values(body='{"format": 1'))
    database.close()
    with pytest.raises(CorruptRecord, match="collection 1 version 1"):
        catalog.latest_manifest(1)
    with pytest.raises(CorruptRecord):
        catalog.doom(["segment/9"], 0, 5)


def test_the_commit_is_one_statement(catalog: Catalog) -> None:
    """H2: nothing of the lease is held across a round trip."""
    written: list[str] = []
    engine = catalog._database._engine
    sa.event.listen(
        engine, "before_cursor_execute", lambda _c, _cur, text, *_: written.append(text)
    )
    catalog.commit_manifest(manifest(1, 1))
    begin = written.index("BEGIN IMMEDIATE")
    (commit,) = written[begin + 1 :]
    assert commit.startswith("INSERT INTO roost_manifests")
    assert "FROM roost_lease" in commit


def test_a_lost_answer_is_told_as_unknown_and_trying_again_settles_it(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = catalog._database.execute_alone

    def lose_answer(statement: sa.Executable) -> int:
        run(statement)
        raise CommitUnknown("the connection broke")

    monkeypatch.setattr(catalog._database, "execute_alone", lose_answer)
    with pytest.raises(CommitUnknown):
        catalog.commit_manifest(manifest(1, 1))
    monkeypatch.undo()
    catalog.commit_manifest(manifest(1, 1))
    assert catalog.manifests_after(1, 0) == [manifest(1, 1)]
