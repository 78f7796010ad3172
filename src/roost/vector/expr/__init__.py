"""The filter language of Milvus."""

from roost.vector.expr.filter import ColumnStatistics, Filter, compile_filter

__all__ = ["ColumnStatistics", "Filter", "compile_filter"]
