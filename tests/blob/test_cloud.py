"""Azure and S3 against real servers: what every store does, and what only these can get wrong."""

import itertools
import os
import secrets
from collections.abc import Iterator

import pytest

from roost.blob.make_bucket import make_bucket
from roost.blob.open import open_store
from roost.blob.patience import Patience
from roost.blob.place import Place
from roost.blob.store import BlobStore
from roost.sizes import MIB
from roost.testing.blob_suite import BlobStoreSuite
from roost.testing.servers.azurite import AzuriteServer
from tests.blob.conftest import KEYS, MinioGateway
from tests.blob.fault_proxy import fault_proxy

QUICK = Patience(connect_timeout_s=2, request_timeout_s=5, tries_max=2, delay_first_s=0.01)


class TestAzurite(BlobStoreSuite):
    @pytest.fixture
    def store(self, azure_place: Place, azure_environment: dict[str, str]) -> BlobStore:
        return open_store(azure_place, patience=QUICK, environment=azure_environment)


def test_only_a_large_object_stays_in_the_buffer_it_was_received_in(
    azure_place: Place, azure_environment: dict[str, str]
) -> None:
    store = open_store(azure_place, patience=QUICK, environment=azure_environment)
    data = secrets.token_bytes(MIB)
    store.put("large", data)
    store.put("small", data[:1000])
    assert isinstance(store.get("small"), bytes)
    assert isinstance(store.get_range("large", 0, 1000), bytes)
    for large in (store.get("large"), store.get_range("large", 0, MIB)):
        assert isinstance(large, memoryview)
        assert large == data


class TestAzuriteByAccountAndKey(BlobStoreSuite):
    """The other spelling: https://CONTAINER.ENDPOINT, the account a part of the host's name."""

    _numbers = itertools.count()

    @pytest.fixture
    def store(self, azurite: AzuriteServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobStore]:
        with fault_proxy(azurite.port) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)  # for nobody resolves the name
            bucket = f"http://keys{next(self._numbers)}.blob.localhost"
            place = Place("wasb", bucket, azurite.account, azurite.key)
            make_bucket(place, environment={})
            yield open_store(place, patience=QUICK, environment={})


class TestS3rver(BlobStoreSuite):
    is_conditional = False  # s3rver overwrites whatever it is told
    orders_folders = True

    @pytest.fixture
    def store(self, s3_place: Place) -> BlobStore:
        return open_store(s3_place, patience=QUICK, environment={})


class TestMinio(BlobStoreSuite):
    is_conditional = False
    _numbers = itertools.count()

    @pytest.fixture
    def store(self, minio: MinioGateway) -> BlobStore:
        bucket = f"{minio.url}/bucket{next(self._numbers)}"
        place = Place("minio", bucket, *KEYS)
        make_bucket(place, environment={})
        return open_store(place, patience=QUICK, environment={})


if "ROOST_TEST_S3" in os.environ:

    class TestAnyS3(BlobStoreSuite):
        """A server of yours with conditional puts: ROOST_TEST_S3="http://HOST:PORT KEY SECRET"."""

        orders_folders = bool(os.environ.get("ROOST_TEST_S3_BY_FOLDER"))  # SeaweedFS does

        _numbers = itertools.count()

        @pytest.fixture
        def store(self) -> BlobStore:
            url, key, secret = os.environ["ROOST_TEST_S3"].split()
            bucket = f"roost-{secrets.token_hex(4)}-{next(self._numbers)}"
            place = Place("s3", f"{url}/{bucket}", key, secret)
            make_bucket(place, environment={})
            return open_store(place, patience=QUICK, environment={})
