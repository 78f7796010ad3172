"""Key-value pairs: Milvus's way of sending parameters, each value a text that is often JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from roost.errors import InvalidArgument
from roost.serve.milvus.wire.stubs import common_pb2


def texts(pairs: Iterable[Any]) -> dict[str, str]:
    """Return the pairs as they are; of two with one key the last counts."""
    return {pair.key: pair.value for pair in pairs}


def pairs_of(values: Mapping[str, str]) -> list[Any]:
    """Undo `texts`."""
    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in values.items()]


def whole_number(values: Mapping[str, str], key: str, default: int) -> int:
    """Return the integer under `key`.  Raises InvalidArgument if it is none."""
    text = values.get(key, "")
    if text in ("", "None"):
        return default
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f"{key} [{text}] is invalid, it should be an integer") from None


def flag(values: Mapping[str, str], key: str) -> bool:
    """Return the boolean under `key`; False if it is absent."""
    return values.get(key, "").lower() == "true"


def mapping(values: Mapping[str, str], key: str) -> dict[str, Any]:
    """Return the JSON object under `key`; empty if it is absent.  Raises InvalidArgument."""
    text = values.get(key, "")
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        raise InvalidArgument(f"{key} [{text}] is not a JSON object") from None
    if not isinstance(value, dict):
        raise InvalidArgument(f"{key} [{text}] is not a JSON object")
    return value


def as_text(value: Any) -> str:
    """Return a JSON value the way clients spell it in a pair: strings bare, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
