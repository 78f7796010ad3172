"""The client, and collections to try things on."""

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

DIM = 8
BOOK_COUNT = 200
COLOURS = ("red", "green", "blue")


class Suite:
    """Fixtures shared by all parts of the suite."""

    @pytest.fixture(scope="class")
    @classmethod
    def address(cls) -> str:
        """host:port of the server; given by the subclass."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def client(cls, address: str) -> Iterator[MilvusClient]:
        """A client of that server."""
        client = MilvusClient(f"http://{address}")
        yield client
        client.close()

    @pytest.fixture
    def name(self, client: MilvusClient) -> Iterator[str]:
        """A name that no collection has yet; what gets it is dropped."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        yield name
        client.drop_collection(name)

    @pytest.fixture
    def plain(self, client: MilvusClient, name: str) -> str:
        """An empty, loaded collection: id, vector (L2), nothing dynamic."""
        create(client, name, dynamic=False)
        return name

    @pytest.fixture(scope="class")
    @classmethod
    def books(cls, client: MilvusClient) -> Iterator[str]:
        """A loaded collection of `book_rows()`, only to be read."""
        name = f"books_{uuid.uuid4().hex[:12]}"
        schema = client.create_schema(enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
        schema.add_field("title", DataType.VARCHAR, max_length=64)
        schema.add_field("pages", DataType.INT32)
        schema.add_field("price", DataType.DOUBLE)
        schema.add_field("lent", DataType.BOOL)
        schema.add_field("rating", DataType.FLOAT, nullable=True)
        schema.add_field("facts", DataType.JSON)
        client.create_collection(name, schema=schema, consistency_level="Strong")
        index_and_load(client, name, metric="L2")
        client.insert(name, book_rows())
        yield name
        client.drop_collection(name)


def create(
    client: MilvusClient, name: str, *, dynamic: bool = True, metric: str = "L2", **options: Any
) -> None:
    """Create and load a collection of id and vector, read strongly."""
    schema = client.create_schema(enable_dynamic_field=dynamic, **options)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    client.create_collection(name, schema=schema, consistency_level="Strong")
    index_and_load(client, name, metric=metric)


def index_and_load(
    client: MilvusClient, name: str, metric: str = "L2", field: str = "vector"
) -> None:
    """Declare an index without waiting for its build (the client would sleep), and load."""
    params = client.prepare_index_params()
    params.add_index(field, index_type="FLAT", metric_type=metric)
    client.create_index(name, params, sync=False)
    client.load_collection(name)


def vectors(count: int, seed: int = 1) -> Any:
    """Return (count, DIM) float32, none alike."""
    return np.random.default_rng(seed).random((count, DIM), dtype=np.float32)


def simple_rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Return rows of id and vector."""
    return [
        {"id": start + at, "vector": vector}
        for at, vector in enumerate(vectors(count, seed=start + 1))
    ]


def book_rows() -> list[dict[str, Any]]:
    """Return the rows of `books`; `colour` and `year` are dynamic, the year of some is missing."""
    return [
        {
            "id": at,
            "vector": vector,
            "title": f"title {at}",
            "pages": at * 10,
            "price": at / 4,
            "lent": at % 5 == 0,
            "rating": None if at % 7 == 0 else float(at % 10),
            "facts": {"shelf": at % 4, "tags": [f"t{at % 3}", "all"], "deep": {"x": at}},
            "colour": COLOURS[at % 3],
        }
        | ({"year": 1900 + at} if at % 2 else {})
        for at, vector in enumerate(vectors(BOOK_COUNT))
    ]


def ids_of(rows: Any) -> list[Any]:
    """Return the primary keys of query rows or of the hits of one query vector."""
    return [row["id"] for row in rows]
