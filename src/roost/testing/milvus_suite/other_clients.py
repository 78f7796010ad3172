"""The asynchronous client, the older ORM, and many clients at once."""

import asyncio
import threading
import uuid

import numpy as np
from pymilvus import (
    AsyncMilvusClient,
    Collection,
    CollectionSchema,
    DataType,
    FieldSchema,
    MilvusClient,
    connections,
    utility,
)

from roost.testing.milvus_suite.base import DIM, Suite, ids_of, simple_rows, vectors
from roost.testing.milvus_suite.iterators import drained

WRITERS = 4
ROWS_EACH = 50


class OtherClientSuite(Suite):
    """The same server, seen by others."""

    def test_the_asynchronous_client_works(
        self, address: str, client: MilvusClient, plain: str
    ) -> None:
        async def use() -> None:
            other = AsyncMilvusClient(f"http://{address}")
            await other.insert(plain, simple_rows(20))
            searches = [
                other.search(plain, data=[row["vector"]], limit=1) for row in simple_rows(20)
            ]
            found = await asyncio.gather(*searches)
            assert [hits[0][0]["id"] for hits in found] == list(range(20))
            rows = await other.query(plain, filter="id < 3")
            assert ids_of(rows) == [0, 1, 2]
            await other.delete(plain, ids=[1])
            await other.close()

        asyncio.run(use())
        assert client.get_collection_stats(plain)["row_count"] == 19

    def test_the_orm_works(self, address: str, client: MilvusClient, name: str) -> None:
        alias = uuid.uuid4().hex
        connections.connect(alias, uri=f"http://{address}")
        try:
            fields = [
                FieldSchema("id", DataType.INT64, is_primary=True),
                FieldSchema("tag", DataType.VARCHAR, max_length=10),
                FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIM),
            ]
            books = Collection(
                name, CollectionSchema(fields), using=alias, consistency_level="Strong"
            )
            matrix = vectors(30)
            answer = books.insert([list(range(30)), [f"t{at}" for at in range(30)], matrix])
            assert answer.insert_count == 30
            assert answer.timestamp > 0
            index = {"index_type": "HNSW", "metric_type": "L2", "params": {"M": 8}}
            books.create_index("vector", index)
            assert books.index().params["M"] == "8"
            books.load()
            books.flush()
            assert books.num_entities == 30
            found = books.search(
                [matrix[4].tolist()],
                "vector",
                {"metric_type": "L2", "params": {"ef": 40}},
                limit=3,
                output_fields=["tag"],
            )
            assert found[0][0].id == 4
            assert found[0][0].entity.get("tag") == "t4"
            assert [row["id"] for row in books.query("id in [3, 4]")] == [3, 4]
            iterator = books.query_iterator(batch_size=7, expr="id >= 0")
            assert drained(iterator) == list(range(30))
            searches = books.search_iterator(
                [matrix[4].tolist()], "vector", {"metric_type": "L2", "params": {}}, batch_size=7
            )
            assert sorted(drained(searches)) == list(range(30))
            books.delete("id in [3]")
            assert [row["id"] for row in books.query("id in [3, 4]")] == [4]
            assert utility.has_collection(name, using=alias)
            assert books.has_partition("_default")
            books.drop()
            assert not utility.has_collection(name, using=alias)
        finally:
            connections.disconnect(alias)

    def test_clients_side_by_side_lose_nothing(
        self, address: str, client: MilvusClient, plain: str
    ) -> None:
        failures: list[BaseException] = []

        def write(number: int) -> None:
            try:
                mine = MilvusClient(f"http://{address}")
                for at in range(ROWS_EACH):
                    (row,) = simple_rows(1, start=number * 1000 + at)
                    mine.insert(plain, row)
                    hit = mine.search(plain, data=[row["vector"]], limit=1)[0][0]
                    assert hit["id"] == row["id"]
            except BaseException as error:  # noqa: BLE001  # told by the main thread
                failures.append(error)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        expected = sorted(n * 1000 + at for n in range(WRITERS) for at in range(ROWS_EACH))
        assert ids_of(client.query(plain, filter="id >= 0")) == expected
        assert np.unique(expected).size == WRITERS * ROWS_EACH
