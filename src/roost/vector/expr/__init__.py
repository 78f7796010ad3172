"""The filter language of Milvus."""

from roost.vector.expr.filter import Filter, compile_filter
from roost.vector.expr.prune import ColumnStatistics

__all__ = ["ColumnStatistics", "Filter", "compile_filter"]
