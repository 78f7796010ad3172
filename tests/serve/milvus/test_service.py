"""The port itself: bound, shared, stopped; failures on their way out."""

import concurrent.futures
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

from roost.clock import SystemClock
from roost.errors import Unavailable
from roost.serve.milvus.service import MilvusServer, serve
from roost.testing.reference_service import ReferenceService


class Failing(ReferenceService):
    """Counting rows does what the test says."""

    act: Callable[[], int]

    def row_count(self, collection: str, partition: str = "") -> int:
        return self.act()


@pytest.fixture
def failing() -> Failing:
    return Failing(SystemClock())


@pytest.fixture
def server(failing: Failing) -> Iterator[MilvusServer]:
    server = serve(failing, port=0)
    yield server
    server.stop(0)


@pytest.fixture
def stub(server: MilvusServer) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as channel:
        yield milvus_pb2_grpc.MilvusServiceStub(channel)


def count(stub: Any) -> Any:
    return stub.GetCollectionStatistics(
        milvus_pb2.GetCollectionStatisticsRequest(collection_name="any"), timeout=10
    )


def raising(error: Exception) -> Callable[[], int]:
    def act() -> int:
        raise error

    return act


def test_a_bug_is_logged_and_answered_so_that_no_client_repeats_the_call(
    failing: Failing, stub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    failing.act = raising(KeyError("surprise"))
    with caplog.at_level(logging.ERROR):
        reply = count(stub)
    assert reply.status.code == 65535
    assert "KeyError" in reply.status.reason
    assert "surprise" in caplog.text


def test_unavailable_leaves_as_grpcs_own_so_that_clients_wait(failing: Failing, stub: Any) -> None:
    failing.act = raising(Unavailable("the writer is changing"))
    with pytest.raises(grpc.RpcError) as caught:
        count(stub)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "the writer is changing" in caught.value.details()


def test_calls_that_roost_has_not_are_unimplemented_by_name(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.CreateRole(milvus_pb2.CreateRoleRequest(), timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "CreateRole is not supported by Roost"


def test_a_port_that_is_taken_is_refused_with_a_hint(server: MilvusServer) -> None:
    with pytest.raises(Unavailable, match=str(server.port)) as caught:
        serve(ReferenceService(SystemClock()), port=server.port)
    assert "another port" in caught.value.hint


def test_several_servers_may_share_a_port() -> None:
    first = serve(ReferenceService(SystemClock()), port=0, reuse_port=True)
    second = serve(ReferenceService(SystemClock()), port=first.port, reuse_port=True)
    assert first.port == second.port
    second.stop(0)
    first.stop(0)


def test_stop_lets_running_calls_end(failing: Failing, server: MilvusServer, stub: Any) -> None:
    running, go_on = threading.Event(), threading.Event()

    def act() -> int:
        running.set()
        assert go_on.wait(10)
        return 7

    failing.act = act
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answer = pool.submit(count, stub)
        assert running.wait(10)
        stopped = pool.submit(server.stop, 10.0)
        go_on.set()
        assert answer.result().stats[0].value == "7"
        stopped.result()
    with pytest.raises(grpc.RpcError):
        count(stub)


def test_frequent_pings_do_not_close_the_connection(failing: Failing, server: MilvusServer) -> None:
    failing.act = lambda: 1
    options = [
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    with grpc.insecure_channel(server.address, options) as channel:
        stub = milvus_pb2_grpc.MilvusServiceStub(channel)
        assert [count(stub).stats[0].value for _ in range(20)] == ["1"] * 20
