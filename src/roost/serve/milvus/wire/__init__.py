"""Milvus's messages to the words of `vector.api`, and back.  Pure functions, no decisions."""
