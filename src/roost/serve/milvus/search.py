"""Calls that find rows."""

from collections.abc import Callable
from typing import Any

import grpc

from roost.errors import Refusal
from roost.serve.milvus import iterator
from roost.serve.milvus.answer import answers
from roost.serve.milvus.wire import params
from roost.serve.milvus.wire.query import query_request, query_results
from roost.serve.milvus.wire.search import search_request, search_results
from roost.serve.milvus.wire.stubs import milvus_pb2
from roost.vector.api import CollectionInfo, VectorService


class SearchCalls:
    """Search by vector, query by filter or keys."""

    service: VectorService

    @answers(milvus_pb2.SearchResults)
    def Search(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Find the nearest rows; or the next page of them, for an iterator."""
        return self._ask(request.collection_name, lambda info: self._search(request, info))

    @answers(milvus_pb2.QueryResults)
    def Query(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Find rows by filter or primary keys, in the order of their keys."""
        return self._ask(
            request.collection_name,
            lambda info: query_results(
                request, self.service.query(query_request(request, info)), info
            ),
        )

    def _search(self, request: Any, info: CollectionInfo) -> Any:
        sent = params.texts(request.search_params)
        asked = search_request(request, sent, info)
        page = iterator.page_of(sent)
        if page is not None:
            return iterator.next_page(self.service, sent, asked, page, info)
        return search_results(sent, self.service.search(asked), info)

    def _ask(self, name: str, ask: Callable[[CollectionInfo], Any]) -> Any:
        """Translate with what the service remembers; a refusal stands only if that is still so."""
        remembered = self.service.look_up(name)
        try:
            return ask(remembered)
        except Refusal:
            described = self.service.describe_collection(name)
            if described == remembered:
                raise
            return ask(described)
