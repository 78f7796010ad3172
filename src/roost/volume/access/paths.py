"""pathlib over a volume: what `UPath("roost:///folder")` is.  Registered in pyproject.toml."""

from upath import UPath


class RoostPath(UPath):
    """A path in a volume; reading and writing go through the fsspec file system."""

    __slots__ = ()
