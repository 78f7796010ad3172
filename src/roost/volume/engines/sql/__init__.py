"""Metadata in SQL: the statements that all three databases share, and the engine of two servers."""
