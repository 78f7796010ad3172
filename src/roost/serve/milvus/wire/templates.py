"""Values of `{name}` in filters: TemplateValue to plain Python."""

import json
from collections.abc import Mapping
from typing import Any


def filter_params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each template name: bool, int, float, str, bytes or a list of them."""
    return {name: _value(value) for name, value in values.items()}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("val")
    if kind is None:
        return None
    plain = getattr(value, kind)
    return _array(plain) if kind == "array_val" else plain


def _array(value: Any) -> list[Any]:
    kind = value.WhichOneof("data")
    if kind is None:
        return []
    items = getattr(value, kind).data
    if kind == "array_data":
        return [_array(item) for item in items]
    if kind == "json_data":
        return [json.loads(item) for item in items]
    return list(items)
