"""Calls about the connection, the server and its one database."""

import itertools
import platform
from importlib import metadata
from typing import Any

import grpc

from roost.serve.milvus.answer import answers
from roost.serve.milvus.database import DEFAULT_DATABASE, DEFAULT_DATABASE_ID
from roost.serve.milvus.wire.stubs import common_pb2, milvus_pb2
from roost.vector.api import VectorService

MILVUS_VERSION = "2.6.0"
"""The Milvus whose calls and codes are spoken; clients that compare versions see this first."""

SERVER_VERSION = f"{MILVUS_VERSION}-roost.{metadata.version('roost')}"


class SessionCalls:
    """Connect, versions, health, timestamps, databases."""

    service: VectorService
    _identifiers = itertools.count(1)

    @answers(milvus_pb2.ConnectResponse)
    def Connect(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Answer with who we are, and a number that the client sends with its later calls."""
        server = common_pb2.ServerInfo(
            build_tags=SERVER_VERSION,
            go_version=f"Python {platform.python_version()}",
            deploy_mode="ROOST",
        )
        return milvus_pb2.ConnectResponse(server_info=server, identifier=next(self._identifiers))

    @answers(milvus_pb2.GetVersionResponse)
    def GetVersion(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Answer the version."""
        return milvus_pb2.GetVersionResponse(version=SERVER_VERSION)

    @answers(milvus_pb2.CheckHealthResponse)
    def CheckHealth(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Healthy if the service answers at all."""
        self.service.now_ts()
        return milvus_pb2.CheckHealthResponse(isHealthy=True)

    @answers(milvus_pb2.ComponentStates)
    def GetComponentStates(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Roost stands for every component of Milvus at once."""
        self.service.now_ts()
        healthy = milvus_pb2.ComponentInfo(
            nodeID=1, role="roost", state_code=common_pb2.StateCode.Healthy
        )
        return milvus_pb2.ComponentStates(state=healthy)

    @answers(milvus_pb2.AllocTimestampResponse)
    def AllocTimestamp(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Answer a timestamp above every acknowledged write."""
        return milvus_pb2.AllocTimestampResponse(timestamp=self.service.now_ts())

    @answers(milvus_pb2.ListDatabasesResponse)
    def ListDatabases(self, request: Any, context: grpc.ServicerContext) -> Any:
        """There is one."""
        return milvus_pb2.ListDatabasesResponse(
            db_names=[DEFAULT_DATABASE], created_timestamp=[0], db_ids=[DEFAULT_DATABASE_ID]
        )

    @answers(milvus_pb2.DescribeDatabaseResponse)
    def DescribeDatabase(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Describe the default database; any other is refused before this."""
        return milvus_pb2.DescribeDatabaseResponse(
            db_name=DEFAULT_DATABASE, dbID=DEFAULT_DATABASE_ID
        )
