"""Index parameters of the wire to `IndexSpec`, and `IndexInfo` back."""

from typing import Any

from roost.serve.milvus.wire import params
from roost.serve.milvus.wire.stubs import milvus_pb2
from roost.vector.api import IndexInfo, IndexSpec

AUTOINDEX = "AUTOINDEX"
"""What a client means that names no type."""

_OWN_KEYS = ("index_type", "metric_type", "params")


def index_spec(request: Any) -> IndexSpec:
    """Return what a CreateIndex call asks for.

    Type parameters come flat or as JSON under `params`; both may occur in one call.
    Raises InvalidArgument if `params` is no JSON object.
    """
    sent = params.texts(request.extra_params)
    own = {key: value for key, value in sent.items() if key not in _OWN_KEYS}
    nested = params.mapping(sent, "params")
    own |= {key: params.as_text(value) for key, value in nested.items()}
    nested_metric = own.pop("metric_type", "")
    return IndexSpec(
        field=request.field_name,
        name=request.index_name or request.field_name,
        index_type=sent.get("index_type", "").upper() or AUTOINDEX,
        metric=(sent.get("metric_type", "") or nested_metric).upper(),
        params=own,
    )


def description(index: IndexInfo) -> Any:
    """Return the IndexDescription message."""
    spec = index.spec
    echo = {"index_type": spec.index_type} | dict(spec.params)
    if spec.metric:
        echo["metric_type"] = spec.metric
    return milvus_pb2.IndexDescription(
        index_name=spec.name,
        indexID=spec.id,
        params=params.pairs_of(echo),
        field_name=spec.field,
        indexed_rows=index.indexed_rows,
        total_rows=index.total_rows,
        pending_index_rows=index.pending_rows,
        state=int(index.state),
        index_state_fail_reason=index.fail_reason,
    )
