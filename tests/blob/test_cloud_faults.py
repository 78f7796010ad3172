"""Servers that fail: each call at every request, lost answers, slowness, fullness, refusals."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import pytest

from roost.blob.open import open_store
from roost.blob.patience import Patience
from roost.blob.place import Place
from roost.blob.store import (
    BlobExists,
    BlobNotFound,
    BlobStore,
    BucketMissing,
    StoreDenied,
)
from roost.errors import CorruptRecord, StorageFull, Unavailable
from roost.testing.servers.azurite import AzuriteServer
from roost.testing.servers.s3 import S3Server
from tests.blob.conftest import KEYS, MinioGateway
from tests.blob.fault_proxy import FAULTS, FaultProxy, fault_proxy

PATIENCE = Patience(connect_timeout_s=1, request_timeout_s=10, tries_max=3, delay_first_s=0.001)
ONCE = Patience(connect_timeout_s=1, request_timeout_s=10, tries_max=1)


@pytest.fixture
def s3_proxy(s3rver: S3Server) -> Iterator[FaultProxy]:
    with fault_proxy(s3rver.port) as proxy:
        yield proxy


@pytest.fixture
def azure_proxy(azurite: AzuriteServer) -> Iterator[FaultProxy]:
    with fault_proxy(azurite.port) as proxy:
        yield proxy


def s3(proxy: FaultProxy, server: S3Server, patience: Patience = PATIENCE) -> BlobStore:
    place = Place("s3", f"{proxy.url}/{server.new_bucket()}", server.access_key, server.secret_key)
    return open_store(place, patience=patience, environment={})


def azure(proxy: FaultProxy, server: AzuriteServer, patience: Patience = PATIENCE) -> BlobStore:
    stated = server.connection_string.replace(f":{server.port}/", f"{proxy.url[16:]}/")
    place = Place("wasb", f"https://{server.new_container()}")
    variables = {"AZURE_STORAGE_CONNECTION_STRING": stated}
    return open_store(place, patience=patience, environment=variables)


def use(store: BlobStore) -> None:
    """Use every verb and check each answer."""
    store.put("a/1", b"one" * 1000)
    store.put("a/2", b"two")
    assert store.get("a/1") == b"one" * 1000
    assert store.get_range("a/1", 1, 2) == b"ne"
    assert store.head("a/2").size_bytes == 3
    assert [info.key for info in store.list("a/")] == ["a/1", "a/2"]
    store.delete("a/2")
    with pytest.raises(BlobNotFound):
        store.get("a/2")


@pytest.mark.parametrize("fault", FAULTS)
def test_one_failing_request_of_s3_is_healed_wherever_it_is(
    s3_proxy: FaultProxy, s3rver: S3Server, fault: str
) -> None:
    store = s3(s3_proxy, s3rver)
    use(store)
    requests = len(s3_proxy.seen)
    for nth in range(1, requests + 1):
        s3_proxy.fail_at(nth, fault)
        use(store)


@pytest.mark.parametrize("fault", FAULTS)
def test_one_failing_request_of_azure_is_healed_wherever_it_is(
    azure_proxy: FaultProxy, azurite: AzuriteServer, fault: str
) -> None:
    store = azure(azure_proxy, azurite)
    use(store)
    store.put_if_absent("once", b"1")
    requests = len(azure_proxy.seen)
    for nth in range(1, requests + 1):
        azure_proxy.fail_at(nth, fault)
        use(store)
        store.put_if_absent(f"once{nth}", b"first")
        with pytest.raises(BlobExists):
            store.put_if_absent(f"once{nth}", b"second")
        assert store.get(f"once{nth}") == b"first"


@pytest.mark.parametrize("fault", FAULTS)
def test_without_retries_each_failure_is_unavailable_and_never_an_answer(
    s3_proxy: FaultProxy, s3rver: S3Server, fault: str
) -> None:
    store = s3(s3_proxy, s3rver, ONCE)
    store.put("a", b"data")
    s3_proxy.fail_all(fault)
    verbs = [lambda: store.get("a"), lambda: store.get_range("a", 0, 2), lambda: list(store.list())]
    if fault != "cut":  # what has no body cannot be cut
        verbs += [lambda: store.put("b", b"x"), lambda: store.head("a"), lambda: store.delete("a")]
    for verb in verbs:
        with pytest.raises(Unavailable):
            verb()
    s3_proxy.heal()
    if fault == "drop after":  # the last verb, a delete, took effect
        with pytest.raises(BlobNotFound):
            store.get("a")
    else:
        assert store.get("a") == b"data"


def test_a_server_that_does_not_answer_is_given_up(s3_proxy: FaultProxy, s3rver: S3Server) -> None:
    hasty = Patience(connect_timeout_s=1, request_timeout_s=0.3, tries_max=2, delay_first_s=0.001)
    store = s3(s3_proxy, s3rver, hasty)
    s3_proxy.fail_all("slow")
    with pytest.raises(Unavailable):
        store.get("a")
    assert len(s3_proxy.seen) == 2
    s3_proxy.heal()
    with pytest.raises(BlobNotFound):
        store.get("a")


def test_a_full_store_is_said_to_be_full_and_not_asked_again(
    s3_proxy: FaultProxy, s3rver: S3Server
) -> None:
    store = s3(s3_proxy, s3rver)
    s3_proxy.fail_all("507")
    with pytest.raises(StorageFull) as failure:
        store.put("a", b"x")
    assert failure.value.hint
    assert s3_proxy.seen == ["PUT"]


def test_a_server_killed_in_the_middle_is_used_again_when_it_is_back() -> None:
    with S3Server() as server:
        bucket = f"{server.url}/{server.new_bucket()}"
        place = Place("s3", bucket, server.access_key, server.secret_key)
        store = open_store(place, patience=ONCE, environment={})
        store.put("kept", b"x" * 100_000)
        server.kill()
        with pytest.raises(Unavailable):
            store.put("lost", b"x")
        with pytest.raises(Unavailable):
            store.get("kept")
        server.restart()
        assert store.get("kept") == b"x" * 100_000


def test_what_was_acknowledged_before_a_kill_is_there_after_it() -> None:
    with S3Server() as server:
        place = Place("s3", f"{server.url}/{server.new_bucket()}", "S3RVER", "S3RVER")
        store = open_store(place, patience=ONCE, environment={})
        stored: list[int] = []

        def put(number: int) -> None:
            store.put(f"k{number}", b"%d" % number * 100_000)
            stored.append(number)
            if len(stored) == 20:
                server.kill()

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(put, number) for number in range(200)]
        failed = [future for future in futures if future.exception() is not None]
        assert failed
        assert all(isinstance(future.exception(), Unavailable) for future in failed)
        server.restart()
        for number in stored:
            assert store.get(f"k{number}") == b"%d" % number * 100_000


def test_a_bucket_that_is_missing_is_never_an_absent_object(
    s3rver: S3Server, minio: MinioGateway, azurite: AzuriteServer
) -> None:
    variables = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
    for place in (
        Place("s3", f"{s3rver.url}/nowhere", s3rver.access_key, s3rver.secret_key),
        Place("minio", f"{minio.url}/nowhere", *KEYS),
        Place("wasb", "https://nowhere"),
    ):
        store = open_store(place, patience=PATIENCE, environment=variables)
        for verb in (
            lambda store=store: store.get("a"),
            lambda store=store: store.get_range("a", 0, 1),
            lambda store=store: store.head("a"),
            lambda store=store: store.put("a", b"x"),
            lambda store=store: store.delete("a"),
            lambda store=store: list(store.list()),
        ):
            with pytest.raises(BucketMissing) as failure:
                verb()
            assert failure.value.hint


def test_wrong_keys_are_a_refusal_with_a_hint(minio: MinioGateway, azurite: AzuriteServer) -> None:
    stated = azurite.connection_string.replace("Eby8", "Xby8")
    container = azurite.new_container()
    for place in (
        Place("minio", f"{minio.url}/bucket", KEYS[0], "wrong"),
        Place("minio", f"{minio.url}/bucket", "nobody", KEYS[1]),
        Place("wasb", f"https://{container}"),
    ):
        variables = {"AZURE_STORAGE_CONNECTION_STRING": stated}
        store = open_store(place, patience=PATIENCE, environment=variables)
        for verb in (
            lambda store=store: store.get("a"),
            lambda store=store: store.head("a"),
            lambda store=store: store.put("a", b"x"),
            lambda store=store: list(store.list()),
        ):
            with pytest.raises(StoreDenied, match="refuses us") as failure:
                verb()
            assert "key" in failure.value.hint
            assert "wrong" not in str(failure.value)


def test_nobody_there_is_unavailable() -> None:
    store = open_store(Place("s3", "http://127.0.0.1:1/bucket", "a", "b"), patience=ONCE)
    with pytest.raises(Unavailable) as failure:
        store.get("a")
    assert "\n" not in str(failure.value)


def test_changed_bytes_are_damage(s3_proxy: FaultProxy, s3rver: S3Server) -> None:
    store = s3(s3_proxy, s3rver)
    store.put("a", b"good bytes")
    bucket = store.name.removeprefix("s3://")
    found = s3rver.folder / "buckets" / bucket / "a._S3rver_object"
    found.write_bytes(b"evil bytes")
    with pytest.raises(CorruptRecord, match="checksum"):
        store.get("a")
    assert store.get_range("a", 0, 4) == b"evil", "a range cannot be checked"


def test_class_tag_and_checksum_travel_with_each_put(
    s3_proxy: FaultProxy, s3rver: S3Server
) -> None:
    bucket = f"{s3_proxy.url}/{s3rver.new_bucket()}"
    keys = (s3rver.access_key, s3rver.secret_key)
    store = open_store(
        Place("s3", bucket, *keys, storage_class="STANDARD_IA", tag="team=a"), environment={}
    )
    store.put("a", b"123456789")
    sent = s3_proxy.headers
    assert sent["x-amz-storage-class"] == "STANDARD_IA"
    assert sent["x-amz-tagging"] == "team=a"
    assert sent["x-amz-meta-crc32c"] == "3808858755", "the check value of CRC-32C, in decimal"
    assert sent["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    plain = open_store(Place("s3", f"{bucket}?disable-checksum=true", *keys), environment={})
    plain.put("a", b"123456789")
    assert "x-amz-meta-crc32c" not in s3_proxy.headers
    assert "x-amz-storage-class" not in s3_proxy.headers


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_checksum_covers_an_object_of_many_pieces(
    s3_proxy: FaultProxy, s3rver: S3Server, kind: type
) -> None:
    data = os.urandom(300_001)
    store = s3(s3_proxy, s3rver)
    store.put("a", kind(data))
    assert s3_proxy.headers["x-amz-meta-crc32c"] == str(google_crc32c.value(data))
    assert store.get("a") == data, "and a reader finds it right"


def test_a_session_token_travels_too(s3_proxy: FaultProxy, s3rver: S3Server) -> None:
    bucket = f"{s3_proxy.url}/{s3rver.new_bucket()}"
    store = open_store(Place("s3", bucket, "key", "secret", "token"), environment={})
    s3_proxy.fail_all("507")
    with pytest.raises(StorageFull):
        store.put("a", b"x")
    assert s3_proxy.headers["x-amz-security-token"] == "token"


def test_anonymous_signs_nothing(s3_proxy: FaultProxy, s3rver: S3Server) -> None:
    bucket = f"{s3_proxy.url}/{s3rver.new_bucket()}"
    store = open_store(Place("s3", bucket, "anonymous"), environment={})
    s3_proxy.fail_all("507")
    with pytest.raises(StorageFull):
        store.put("a", b"x")
    assert "authorization" not in s3_proxy.headers
