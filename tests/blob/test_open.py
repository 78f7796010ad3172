"""From settings to stores."""

from pathlib import Path

import pytest

from roost.blob.make_bucket import make_bucket
from roost.blob.open import open_store
from roost.blob.place import Place
from roost.errors import InvalidArgument, Unsupported


def test_file_storage_is_a_directory(tmp_path: Path) -> None:
    open_store(Place("file", f"{tmp_path}/")).put("a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_the_storage_is_named_in_any_case(tmp_path: Path) -> None:
    assert open_store(Place("File", f"{tmp_path}/")).name == f"{tmp_path}/"


def test_another_storage_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="tape") as refusal:
        open_store(Place("tape", "/dev/st0"))
    assert "file" in refusal.value.hint


@pytest.mark.parametrize("bucket", ["", "relative/", "file:///x"])
def test_a_directory_must_be_absolute(bucket: str) -> None:
    with pytest.raises(InvalidArgument, match="absolute"):
        open_store(Place("file", bucket))


def test_shards_fill_the_template(tmp_path: Path) -> None:
    place = Place("file", f"{tmp_path}/shard%d/", shards=3)
    make_bucket(place)
    store = open_store(place)
    for n in range(20):
        store.put(f"key{n}", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard0", "shard1", "shard2"]


def test_a_template_without_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="%d"):
        open_store(Place("file", f"{tmp_path}/", shards=3))


def test_too_many_shards_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="257"):
        open_store(Place("file", "/x%d", shards=257))
