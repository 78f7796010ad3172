"""Stores of OpenDAL: the suite over its own memory and folders, options from JuiceFS's words."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import opendal
import pytest

from roost.blob.dal import DalStore
from roost.blob.many import SERVICES, options_of
from roost.blob.open import open_store
from roost.blob.patience import Patience
from roost.blob.place import Place
from roost.blob.store import BlobNotFound, BlobStore
from roost.errors import InvalidArgument, Unavailable
from roost.testing.blob_suite import BlobStoreSuite


class TestMemory(BlobStoreSuite):
    @pytest.fixture
    def store(self) -> BlobStore:
        operator = opendal.Operator("memory")
        return DalStore(operator, "memory/", has_folders=True, first_try_s=5)


class TestFolders(BlobStoreSuite):
    """Drafts and renames, as on HDFS."""

    is_conditional = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        operator = opendal.Operator("fs", root=str(tmp_path))
        return DalStore(operator, "fs/", has_folders=True, drafts=True, first_try_s=5)


def test_a_draft_is_no_object(tmp_path: Path) -> None:
    store = DalStore(opendal.Operator("fs", root=str(tmp_path)), "fs/", has_folders=True)
    store.put("a", b"x")
    (tmp_path / ".jfs.b.tmp.123").write_bytes(b"half")
    assert [info.key for info in store.list()] == ["a"]


@pytest.mark.parametrize(
    ("place", "scheme", "options"),
    [
        (
            Place("oss", "https://b.oss-cn-x.aliyuncs.com", "k", "s", "t"),
            "oss",
            {"bucket": "b", "endpoint": "https://oss-cn-x.aliyuncs.com", "access_key_id": "k",
             "access_key_secret": "s", "security_token": "t"},
        ),
        (
            Place("cos", "b-1.cos.ap-x.myqcloud.com", "k", "s"),
            "cos",
            {"bucket": "b-1", "endpoint": "https://cos.ap-x.myqcloud.com", "secret_id": "k",
             "secret_key": "s"},
        ),
        (
            Place("obs", "https://b.obs.cn-x.myhuaweicloud.com", "k", "s"),
            "obs",
            {"bucket": "b", "endpoint": "https://obs.cn-x.myhuaweicloud.com",
             "access_key_id": "k", "secret_access_key": "s"},
        ),
        (
            Place("tos", "https://b.tos-cn-x.volces.com", "k", "s"),
            "tos",
            {"bucket": "b", "endpoint": "https://tos-cn-x.volces.com", "region": "cn-x",
             "access_key_id": "k", "secret_access_key": "s"},
        ),
        (
            Place("webdav", "http://h:8080/dav/x", "u", "p"),
            "webdav",
            {"endpoint": "http://h:8080", "root": "/dav/x", "username": "u", "password": "p"},
        ),
        (
            Place("hdfs", "namenode:8020/data", "u"),
            "hdfs-native",
            {"name_node": "hdfs://namenode:8020", "root": "/data", "user": "u"},
        ),
    ],
)  # fmt: skip
def test_juicefs_words_become_options(place: Place, scheme: str, options: dict[str, str]) -> None:
    service, found = options_of(place, {})
    assert service.scheme == scheme
    assert found == options


def test_keys_may_stand_in_the_environment() -> None:
    place = Place("cos", "https://b.cos.x.myqcloud.com")
    _, found = options_of(place, {"COS_SECRETID": "k", "COS_SECRETKEY": "s"})
    assert (found["secret_id"], found["secret_key"]) == ("k", "s")


@pytest.mark.parametrize("place", ["hdfs://127.0.0.1:{}/x", "webdav://127.0.0.1:{}"])
def test_a_host_that_says_nothing_is_given_up_by_name(place: str) -> None:
    """Both services wait for the whole time-out of a request, and HDFS hides a refusal, too."""
    storage = place.partition(":")[0]
    patience = Patience(first_try_s=0.2, first_answer_s=0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        bucket = place.format(silent.getsockname()[1]).replace("webdav://", "http://")
        store = open_store(Place(storage, bucket.removeprefix("hdfs://")), patience=patience)
        for call in (lambda: store.head("a"), lambda: list(store.list())):
            began_s = time.monotonic()
            with pytest.raises(Unavailable, match="does not answer") as failure:
                call()
            assert time.monotonic() - began_s < 10
            assert "address" in failure.value.hint


class _Slow(BaseHTTPRequestHandler):
    def do_PROPFIND(self) -> None:
        time.sleep(0.4)
        self.send_error(404)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def test_a_time_out_that_was_chosen_is_waited_for_at_the_first_answer_too() -> None:
    hasty = Patience(first_try_s=0.1, first_answer_s=0.1)
    with HTTPServer(("127.0.0.1", 0), _Slow) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        place = Place("webdav", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(Unavailable, match="does not answer"):
            open_store(place, patience=hasty).head("a")
        with pytest.raises(BlobNotFound):
            open_store(place, patience=hasty.waiting(30)).head("a")
        server.shutdown()


@pytest.mark.parametrize("storage", sorted(set(SERVICES) - {"webdav", "hdfs", "b2"}))
def test_a_bucket_without_an_endpoint_is_refused(storage: str) -> None:
    with pytest.raises(InvalidArgument):
        open_store(Place(storage, "https://bucket"), environment={})


@pytest.mark.parametrize("storage", sorted(SERVICES))
def test_every_service_of_the_table_is_in_the_library(storage: str) -> None:
    place = Place(storage, "http://bucket.127.0.0.1.test:1", "key", "secret", "token")
    store = open_store(place, patience=Patience(1, 2, 1), environment={})
    assert urlsplit(store.name).scheme == storage
    with pytest.raises(Unavailable):
        store.get("a")
