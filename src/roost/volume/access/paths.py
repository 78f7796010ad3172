"""pathlib over a volume: what `UPath("roost:///folder")` is.  Registered in pyproject.toml."""

import fsspec
from upath import UPath

from roost.volume.access import places
from roost.volume.access.filesystem import RoostFileSystem

# UPath asks the class of a scheme how its URLs are read, and only classes that are imported; it
# would take the volume's name for the first folder.
for _scheme in places.SCHEMES:
    fsspec.register_implementation(_scheme, RoostFileSystem, clobber=True)


class RoostPath(UPath):
    """A path in a volume; reading and writing go through the fsspec file system."""

    __slots__ = ()
