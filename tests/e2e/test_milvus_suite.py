"""The whole suite of Milvus's clients, over the router of a real `roost up`."""

from collections.abc import Iterator

import pytest

from roost.testing.milvus_suite import AliasSuite, MilvusSuite
from tests.e2e.conftest import Cluster


class TestCluster(MilvusSuite, AliasSuite):
    """Two readers that carry the router, on one port."""

    @pytest.fixture(scope="class")
    @classmethod
    def address(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        cluster = Cluster(tmp_path_factory.mktemp("suite"))
        yield cluster.uri.removeprefix("http://")
        assert cluster.stop() == 0
