"""Calls about aliases, served when the service has them."""

from typing import Any

import grpc

from roost.serve.milvus.answer import answers
from roost.serve.milvus.database import DEFAULT_DATABASE
from roost.serve.milvus.status import AliasNotFound
from roost.serve.milvus.wire.stubs import common_pb2, milvus_pb2
from roost.vector.api import AliasService, VectorService

_OK = common_pb2.Status


class AliasCalls:
    """Create, alter, drop, describe, list."""

    aliases: AliasService
    service: VectorService

    @answers(common_pb2.Status)
    def CreateAlias(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Give a collection one more name."""
        self.aliases.create_alias(request.alias, request.collection_name)
        return _OK()

    @answers(common_pb2.Status)
    def AlterAlias(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Give the name to another collection."""
        self.aliases.alter_alias(request.alias, request.collection_name)
        return _OK()

    @answers(common_pb2.Status)
    def DropAlias(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Take the name away; nothing if there is none."""
        self.aliases.drop_alias(request.alias)
        return _OK()

    @answers(milvus_pb2.DescribeAliasResponse)
    def DescribeAlias(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Tell whose name it is."""
        for info in self.service.list_collections():
            if request.alias in info.aliases:
                return milvus_pb2.DescribeAliasResponse(
                    db_name=DEFAULT_DATABASE, alias=request.alias, collection=info.name
                )
        raise AliasNotFound(request.alias)

    @answers(milvus_pb2.ListAliasesResponse)
    def ListAliases(self, request: Any, context: grpc.ServicerContext) -> Any:
        """List the further names of one collection, or of all."""
        if request.collection_name:
            found = [self.service.describe_collection(request.collection_name)]
        else:
            found = self.service.list_collections()
        return milvus_pb2.ListAliasesResponse(
            db_name=DEFAULT_DATABASE,
            collection_name=request.collection_name,
            aliases=sorted(alias for info in found for alias in info.aliases),
        )
