"""`roost bench files` and the bench of a folder, tiny: all rows, on all sides, checked bytes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from roost.bench import juicefs
from roost.bench.files import FilesBench, measure
from roost.bench.object_places import ObjectPlace, ObjectPlaces
from roost.bench.processes import MeasuredProcess
from roost.blob.open import open_store
from roost.blob.place import Place
from roost.blob.store import BlobStore
from roost.cli.main import app
from roost.errors import InvalidArgument, Unavailable
from roost.testing.servers import AzuriteServer, S3Server, require
from roost.testing.volumes import make_test_volume


def quiet(_: str) -> None:
    """Tell nobody."""


STORES = [
    "azurite",
    pytest.param("directory", marks=pytest.mark.long),
    pytest.param("s3", marks=pytest.mark.long),
]


@pytest.mark.parametrize("store", STORES)
def test_a_large_file_goes_through_every_side(store: str) -> None:
    require(juicefs.missing() or AzuriteServer.missing() or S3Server.missing())
    report = measure(FilesBench(("juicefs",), (store,), rounds=1, size_mib=9, files=0), quiet)
    found = {(row.setting, row.name): set(row.values) for row in report.rows}
    sides = {"roost", "juicefs", "store"}
    names = ("write", "read", "write peak memory", "read peak memory")
    assert found == {(store, name): sides for name in names}


def test_each_side_meets_a_server_that_holds_nothing_of_another(tmp_path: Path) -> None:
    require(AzuriteServer.missing())

    def opened(place: ObjectPlace) -> BlobStore:
        return open_store(Place(place.storage, place.bucket), environment=place.environment)

    with ObjectPlaces(tmp_path) as places:
        first = places.new("azurite")
        opened(first).put("large/000000", b"of the first side")
        second = places.new("azurite")
        assert second.bucket == first.bucket  # so it is no other container of the same server
        assert list(opened(second).list()) == []


def test_the_tools_run_on_one_volume_of_many_files_and_load_what_they_dumped() -> None:
    require(juicefs.missing())
    bench = FilesBench(("juicefs",), rounds=1, size_mib=0, files=300, engines=("sqlite",))
    rows = {row.name: row for row in measure(bench, quiet).rows}
    assert set(rows) == {
        f"{tool}{rest}" for tool in ("gc", "fsck", "dump", "load") for rest in ("", " peak memory")
    }
    for row in rows.values():
        assert set(row.values) == {"roost", "juicefs"}
        assert row.setting == "300 files, sqlite"


def test_a_short_read_is_no_figure(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 10)
    with (
        MeasuredProcess("files_worker", "mount", str(tmp_path)) as worker,
        pytest.raises(Unavailable, match="moved 10 bytes of 11"),
    ):
        worker.ask({"do": "read", "name": "large", "size_bytes": 11})


def test_unknown_stores_and_engines_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="unknown setting 'tape'"):
        measure(FilesBench(settings=("tape",), files=0), quiet)
    with pytest.raises(InvalidArgument, match="unknown setting 'oracle'"):
        measure(FilesBench(size_mib=0, files=10, engines=("oracle",)), quiet)


WORDS = ["--big-file-size", "2", "--small-file-size", "8K", "--small-file-count", "3", "-p", "2"]


@pytest.mark.parametrize("word", [[], ["folder"]])
def test_a_folder_is_measured_as_juicefs_does_and_left_as_it_was(
    word: list[str], tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, ["bench", *word, str(tmp_path), *WORDS, "--json"])
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    items = ("write big file", "read big file", "write small file", "read small file", "stat file")
    assert set(rows) == {f"{item}{rest}" for item in items for rest in ("", ", cost")}
    assert rows["write big file"]["unit"] == "MiB/s"
    assert list(tmp_path.iterdir()) == []


def test_options_may_stand_before_the_folder(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", *WORDS, str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "write big file" in done.stdout


def test_a_folder_inside_a_volume_is_measured_without_a_mount(tmp_path: Path) -> None:
    volume = make_test_volume(tmp_path / "volume")
    words = ["bench", "/", "--meta", volume.meta_url, *WORDS, "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["rows"]) == 10
    with volume.open() as client:
        assert client.listdir("/") == []
    volume.finish()


def test_a_size_that_is_none_is_refused_with_an_example(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", str(tmp_path), "--block-size", "big"])
    assert done.exit_code == 2
    assert "128K" in done.stderr
