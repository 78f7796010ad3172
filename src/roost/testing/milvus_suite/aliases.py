"""Aliases, for ports whose service has them; not part of `MilvusSuite`."""

import uuid
from collections.abc import Iterator

import pytest
from pymilvus import MilvusClient

from roost.testing.milvus_suite.base import Suite, create, ids_of, simple_rows
from roost.testing.milvus_suite.refusals import refused


class AliasSuite(Suite):
    """A collection goes by all its names."""

    @pytest.fixture
    def alias(self, client: MilvusClient) -> Iterator[str]:
        """A name that nothing has; the alias that gets it is dropped."""
        alias = f"a_{uuid.uuid4().hex[:12]}"
        yield alias
        client.drop_alias(alias)

    def test_an_alias_does_for_the_name(self, client: MilvusClient, plain: str, alias: str) -> None:
        client.create_alias(plain, alias)
        client.insert(alias, simple_rows(3))
        assert ids_of(client.query(alias, filter="id >= 0", consistency_level="Strong")) == [
            0,
            1,
            2,
        ]
        assert client.describe_collection(alias)["collection_name"] == plain
        assert client.describe_collection(plain)["aliases"] == [alias]
        assert client.list_aliases(plain)["aliases"] == [alias]
        assert client.describe_alias(alias)["collection_name"] == plain

    def test_an_alias_moves_and_goes(self, client: MilvusClient, plain: str, alias: str) -> None:
        other = f"o_{alias}"
        create(client, other)
        try:
            client.create_alias(plain, alias)
            client.alter_alias(other, alias)
            assert client.describe_collection(alias)["collection_name"] == other
            assert client.list_aliases(plain)["aliases"] == []
            client.drop_alias(alias)
            refused(100, "collection not found", client.describe_collection, alias)
            refused(1600, "alias not found", client.describe_alias, alias)
        finally:
            client.drop_alias(alias)
            client.drop_collection(other)

    def test_a_taken_name_is_refused(self, client: MilvusClient, plain: str, alias: str) -> None:
        client.create_alias(plain, alias)
        refused(1100, alias, client.create_alias, plain, alias)
        refused(1100, plain, client.create_alias, plain, plain)
