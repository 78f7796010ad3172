"""Roost: a vector search cluster on a shared file system."""

__version__ = "0.1.0"
