"""What every Milvus port must do, seen through pymilvus.

Subclass `MilvusSuite` and give it an `address` fixture ("host:port" of a server to itself):

    class TestEngine(MilvusSuite):
        @pytest.fixture(scope="class")
        @classmethod
        def address(cls) -> Iterator[str]: ...
"""

from roost.testing.milvus_suite.aliases import AliasSuite
from roost.testing.milvus_suite.definitions import DefinitionSuite
from roost.testing.milvus_suite.iterators import IteratorSuite
from roost.testing.milvus_suite.other_clients import OtherClientSuite
from roost.testing.milvus_suite.other_sdks import OtherSdkSuite
from roost.testing.milvus_suite.queries import QuerySuite
from roost.testing.milvus_suite.quick_start import QuickStartSuite
from roost.testing.milvus_suite.refusals import RefusalSuite
from roost.testing.milvus_suite.rows import RowSuite
from roost.testing.milvus_suite.searches import SearchSuite


class MilvusSuite(
    QuickStartSuite,
    DefinitionSuite,
    RowSuite,
    QuerySuite,
    SearchSuite,
    IteratorSuite,
    RefusalSuite,
    OtherClientSuite,
    OtherSdkSuite,
):
    """All that every `VectorService` must let a client do; `AliasSuite` is apart."""


__all__ = ["AliasSuite", "MilvusSuite"]
