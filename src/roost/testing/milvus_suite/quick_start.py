"""The quick start of Milvus's documentation, call for call."""

import pytest
from pymilvus import MilvusClient

from roost.testing.milvus_suite.base import Suite, vectors

SUBJECTS = ["history", "biology"]


class QuickStartSuite(Suite):
    """What a newcomer tries first."""

    def test_the_quick_start_of_the_documentation_works(
        self, client: MilvusClient, name: str
    ) -> None:
        assert not client.has_collection(name)
        client.create_collection(name, dimension=8)
        assert client.has_collection(name)
        assert name in client.list_collections()

        data = [
            {"id": at, "vector": vector.tolist(), "text": f"text {at}", "subject": SUBJECTS[at % 2]}
            for at, vector in enumerate(vectors(10))
        ]
        answer = client.insert(name, data)
        assert (answer["insert_count"], answer["ids"]) == (10, list(range(10)))

        found = client.search(name, data=[data[3]["vector"]], limit=2, output_fields=["text"])
        assert len(found) == 1
        assert len(found[0]) == 2
        assert found[0][0]["id"] == 3
        assert found[0][0]["distance"] == pytest.approx(1.0)
        assert found[0][0]["entity"] == {"text": "text 3"}

        found = client.search(
            name,
            data=[data[3]["vector"]],
            filter="subject == 'history'",
            limit=20,
            output_fields=["subject"],
        )
        assert {hit["entity"]["subject"] for hit in found[0]} == {"history"}
        assert len(found[0]) == 5

        rows = client.query(name, filter="subject == 'biology'", output_fields=["text", "subject"])
        assert [row["id"] for row in rows] == [1, 3, 5, 7, 9]
        assert rows[0]["text"] == "text 1"

        assert [row["text"] for row in client.get(name, ids=[0, 2])] == ["text 0", "text 2"]
        assert client.delete(name, ids=[0, 2])["delete_count"] == 2
        client.delete(name, filter="subject == 'biology'")
        assert [row["id"] for row in client.query(name, filter="id >= 0")] == [4, 6, 8]

        client.drop_collection(name)
        assert not client.has_collection(name)

    def test_a_client_sees_its_own_writes_at_the_default_level(
        self, client: MilvusClient, name: str
    ) -> None:
        client.create_collection(name, dimension=8)
        assert client.describe_collection(name)["consistency_level_name"] == "Bounded"
        for at, vector in enumerate(vectors(5)):
            client.insert(name, {"id": at, "vector": vector.tolist()})
            assert client.query(name, output_fields=["count(*)"])[0]["count(*)"] == at + 1

    def test_the_server_says_who_it_is(self, client: MilvusClient) -> None:
        assert "roost" in client.get_server_version()
        assert client.list_databases() == ["default"]
        assert client.describe_database("default")["name"] == "default"
        assert client.list_resource_groups() == ["__default_resource_group"]
