"""Objects that are stored in parts."""

import os

import pytest

from roost.blob import cloud
from roost.blob.make_bucket import make_bucket
from roost.blob.open import open_store
from roost.blob.place import Place
from roost.sizes import MIB
from tests.blob.conftest import KEYS, MinioGateway


@pytest.fixture
def minio_place(minio: MinioGateway) -> Place:
    place = Place("minio", f"{minio.url}/large", *KEYS)
    make_bucket(place, environment={})
    return place


@pytest.mark.parametrize("kind", ["s3_place", "minio_place", "azure_place"])
def test_an_object_in_parts_is_read_back_and_keeps_its_checksum(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(cloud, "WHOLE_BYTES_MAX", MIB)
    variables = {}
    if kind == "azure_place":
        variables = request.getfixturevalue("azure_environment")
    store = open_store(request.getfixturevalue(kind), environment=variables)
    data = os.urandom(11 * MIB + 7)
    store.put("big", data)
    assert store.get("big") == data
    assert store.get_range("big", 5 * MIB - 3, 10) == data[5 * MIB - 3 : 5 * MIB + 7]
    assert [(info.key, info.size_bytes) for info in store.list()] == [("big", len(data))]
