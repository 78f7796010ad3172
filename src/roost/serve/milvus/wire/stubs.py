"""Milvus's messages as the pymilvus package ships them, without its client.

Importing `pymilvus` loads pandas with it: a second and 95 MB in every process that serves.  The
messages need none of that, so they are loaded below a parent that stands in for the package and is
taken away again; a later `import pymilvus` finds the real package and these same messages.
Import this module before threads are started that import pymilvus themselves.
"""

import importlib
import importlib.util
import sys
import types
from typing import Any

_PACKAGE = "pymilvus"


def _load() -> tuple[Any, Any, Any]:
    """Return common_pb2, milvus_pb2 and schema_pb2."""
    stands_in = _PACKAGE not in sys.modules
    if stands_in:
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or found.submodule_search_locations is None:
            raise ModuleNotFoundError(_PACKAGE, name=_PACKAGE)
        parent = types.ModuleType(_PACKAGE)
        parent.__path__ = list(found.submodule_search_locations)
        sys.modules[_PACKAGE] = parent
    try:
        names = ("common_pb2", "milvus_pb2", "schema_pb2")
        common, milvus, schema = (
            importlib.import_module(f"{_PACKAGE}.grpc_gen.{name}") for name in names
        )
    finally:
        if stands_in:
            del sys.modules[_PACKAGE]
    return common, milvus, schema


common_pb2, milvus_pb2, schema_pb2 = _load()
