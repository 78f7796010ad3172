"""The Milvus port: the handlers put together and served.

Calls that no mixin defines are answered UNIMPLEMENTED, by their name.  A bounded pool of threads
runs the handlers; calls beyond `QUEUED_CALLS` waiting ones are refused as RESOURCE_EXHAUSTED.
"""

from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import message_factory

from roost.errors import Unavailable
from roost.serve.milvus.admin import AdminCalls
from roost.serve.milvus.aliases import AliasCalls
from roost.serve.milvus.collections import CollectionCalls
from roost.serve.milvus.indexes import IndexCalls
from roost.serve.milvus.partitions import PartitionCalls
from roost.serve.milvus.records import RecordCalls
from roost.serve.milvus.search import SearchCalls
from roost.serve.milvus.session import SessionCalls
from roost.serve.milvus.wire.stubs import milvus_pb2
from roost.vector.api import AliasService, VectorService

WORKERS = 16
"""Threads that run handlers; numpy, faiss, Arrow and waits for disks let go of the interpreter."""

QUEUED_CALLS = 512
"""Calls running or waiting for a thread; more are refused at once."""

STOP_GRACE_S = 5.0
"""How long running calls may go on after `stop`."""

_UNLIMITED = -1
_PING_INTERVAL_MS = 1000
"""Clients ping every 10 s, also without calls; gRPC itself would hang up at less than 5 min."""


class MilvusService(
    SessionCalls,
    CollectionCalls,
    PartitionCalls,
    IndexCalls,
    RecordCalls,
    SearchCalls,
    AdminCalls,
):
    """Every call of `milvus.proto.milvus.MilvusService` that Roost answers."""

    def __init__(self, service: VectorService) -> None:
        self.service = service


class MilvusServiceWithAliases(AliasCalls, MilvusService):
    """The same, over a service that has aliases."""

    def __init__(self, service: VectorService, aliases: AliasService) -> None:
        super().__init__(service)
        self.aliases = aliases


@dataclass(frozen=True, slots=True)
class MilvusServer:
    """An open port.  `address` is host:port with the port really bound."""

    address: str
    port: int
    grpc_server: Any

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Refuse new calls, let running ones end for `grace_s`, close the port."""
        self.grpc_server.stop(grace_s).wait()

    def wait(self) -> None:
        """Return when the server has stopped."""
        self.grpc_server.wait_for_termination()


def serve(
    service: VectorService,
    host: str = "127.0.0.1",
    port: int = 19530,
    *,
    workers: int = WORKERS,
    reuse_port: bool = False,
) -> MilvusServer:
    """Answer Milvus's clients at host:port until `stop`; port 0 takes a free one.

    With `reuse_port`, processes may share one port; the kernel deals the connections out.
    Raises Unavailable if the port is taken.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(workers, thread_name_prefix="milvus"),
        options=[
            ("grpc.max_receive_message_length", _UNLIMITED),
            ("grpc.max_send_message_length", _UNLIMITED),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", _PING_INTERVAL_MS),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.so_reuseport", int(reuse_port)),
        ],
        maximum_concurrent_rpcs=QUEUED_CALLS,
    )
    server.add_generic_rpc_handlers((_handlers(_servicer(service)),))
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise Unavailable(
            f"cannot listen on {host}:{port}: {error}",
            hint="Stop what listens there, or choose another port.",
        ) from error
    server.start()
    return MilvusServer(f"{host}:{bound}", bound, server)


def _servicer(service: VectorService) -> MilvusService:
    if isinstance(service, AliasService):
        return MilvusServiceWithAliases(service, service)
    return MilvusService(service)


def _handlers(servicer: MilvusService) -> Any:
    """Return gRPC's handlers for the calls of Milvus: those of `servicer`, and refusals."""
    described = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"]
    methods = {
        method.name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method.name, _refusal(method.name)),
            request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
            response_serializer=message_factory.GetMessageClass(
                method.output_type
            ).SerializeToString,
        )
        for method in described.methods
    }
    return grpc.method_handlers_generic_handler(described.full_name, methods)


def _refusal(name: str) -> Callable[[Any, grpc.ServicerContext], None]:
    def refuse(request: Any, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not supported by Roost")

    return refuse
