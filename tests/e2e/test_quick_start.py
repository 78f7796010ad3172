"""The quick start of pymilvus's documentation, typed as a user would."""

import numpy as np
from pymilvus import DataType, MilvusClient

from tests.e2e.conftest import StartCluster


def test_the_documented_quick_start_works_unchanged(start_cluster: StartCluster) -> None:
    client = MilvusClient(uri=start_cluster().uri)

    if client.has_collection(collection_name="demo_collection"):
        client.drop_collection(collection_name="demo_collection")
    client.create_collection(collection_name="demo_collection", dimension=768)

    docs = [
        "Artificial intelligence was founded as an academic discipline in 1956.",
        "Alan Turing was the first person to conduct substantial research in AI.",
        "Born in Maida Vale, London, Turing was raised in southern England.",
    ]
    random = np.random.default_rng(1)
    vectors = [random.uniform(-1, 1, 768).tolist() for _ in docs]
    data = [
        {"id": i, "vector": vectors[i], "text": docs[i], "subject": "history"}
        for i in range(len(vectors))
    ]
    res = client.insert(collection_name="demo_collection", data=data)
    assert res["insert_count"] == 3
    assert list(res["ids"]) == [0, 1, 2]

    res = client.search(
        collection_name="demo_collection",
        data=[vectors[1]],
        limit=2,
        output_fields=["text", "subject"],
        consistency_level="Strong",
    )
    assert res[0][0]["id"] == 1
    assert res[0][0]["entity"] == {"text": docs[1], "subject": "history"}
    assert len(res[0]) == 2

    more = ["Machine learning has been used for drug design."]
    vectors = [random.uniform(-1, 1, 768).tolist() for _ in more]
    client.insert(
        collection_name="demo_collection",
        data=[{"id": 3, "vector": vectors[0], "text": more[0], "subject": "biology"}],
    )
    res = client.search(
        collection_name="demo_collection",
        data=[vectors[0]],
        filter="subject == 'biology'",
        limit=2,
        output_fields=["text", "subject"],
    )
    assert [hit["id"] for hit in res[0]] == [3]

    res = client.query(
        collection_name="demo_collection",
        filter="subject == 'history'",
        output_fields=["text", "subject"],
    )
    assert sorted(row["id"] for row in res) == [0, 1, 2]
    res = client.query(
        collection_name="demo_collection",
        ids=[0, 2],
        output_fields=["vector", "text", "subject"],
    )
    assert sorted(row["id"] for row in res) == [0, 2]
    assert len(res[0]["vector"]) == 768

    res = client.delete(collection_name="demo_collection", ids=[0, 2])
    assert res["delete_count"] == 2
    res = client.delete(collection_name="demo_collection", filter="subject == 'biology'")
    assert res["delete_count"] == 1
    rest = client.query(collection_name="demo_collection", filter="id >= 0")
    assert [row["id"] for row in rest] == [1]

    client.drop_collection(collection_name="demo_collection")
    assert not client.has_collection("demo_collection")


def test_the_documented_schema_flow_works_unchanged(start_cluster: StartCluster) -> None:
    client = MilvusClient(uri=start_cluster().uri)
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field(field_name="my_id", datatype=DataType.INT64, is_primary=True)
    schema.add_field(field_name="my_vector", datatype=DataType.FLOAT_VECTOR, dim=5)
    schema.add_field(field_name="my_varchar", datatype=DataType.VARCHAR, max_length=512)
    index_params = client.prepare_index_params()
    index_params.add_index(field_name="my_id", index_type="AUTOINDEX")
    index_params.add_index(field_name="my_vector", index_type="AUTOINDEX", metric_type="COSINE")
    client.create_collection(collection_name="customized", schema=schema, index_params=index_params)
    state = client.get_load_state(collection_name="customized")
    assert str(state["state"]) == "Loaded"

    random = np.random.default_rng(2)
    rows = [
        {"my_id": i, "my_vector": random.random(5).tolist(), "my_varchar": f"n{i}", "colour": "red"}
        for i in range(100)
    ]
    client.insert("customized", rows)
    client.flush("customized")
    assert client.get_collection_stats("customized")["row_count"] == 100
    hits = client.search(
        "customized",
        data=[rows[42]["my_vector"]],
        limit=3,
        output_fields=["*"],
        anns_field="my_vector",
    )
    assert hits[0][0]["my_id"] == 42
    assert hits[0][0]["entity"]["my_varchar"] == "n42"
    assert hits[0][0]["entity"]["colour"] == "red"
    client.create_partition("customized", "second")
    assert client.list_partitions("customized") == ["_default", "second"]
    client.insert("customized", [rows[0] | {"my_id": 1000}], partition_name="second")
    found = client.query(
        "customized",
        filter="my_id > 0",
        partition_names=["second"],
        output_fields=["my_id"],
        consistency_level="Strong",
    )
    assert [row["my_id"] for row in found] == [1000]
    client.release_collection("customized")
    client.drop_collection("customized")
