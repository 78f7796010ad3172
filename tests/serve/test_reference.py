"""The whole suite of Milvus's clients, over the reference service."""

from collections.abc import Iterator

import pytest

from roost.clock import SystemClock
from roost.serve.milvus.service import serve
from roost.testing.milvus_suite import AliasSuite, MilvusSuite
from roost.testing.reference_service import ReferenceService


class TestReferenceService(MilvusSuite, AliasSuite):
    """Served from memory by brute force."""

    @pytest.fixture(scope="class")
    @classmethod
    def address(cls) -> Iterator[str]:
        server = serve(ReferenceService(SystemClock()), port=0)
        yield server.address
        server.stop(0)
