"""Milvus's messages without its client, and with it later."""

import subprocess
import sys

SCRIPT = """
import sys
from roost.serve.milvus.wire.stubs import milvus_pb2
assert "pandas" not in sys.modules, "serving loads pandas"
assert "pymilvus" not in sys.modules
import pymilvus
from pymilvus.grpc_gen import milvus_pb2 as theirs
assert theirs is milvus_pb2
assert pymilvus.MilvusClient.__module__.startswith("pymilvus.")
"""


def test_serving_does_not_load_the_client_and_does_not_stand_in_its_way() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
