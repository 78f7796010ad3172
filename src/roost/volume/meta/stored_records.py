"""Records as bytes, from engines that store JuiceFS's own; for tools that pass very many on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

from roost.volume.codec import decode_attr, decode_slices
from roost.volume.meta.effects import AddEdge, AddNode, AddSliceRefs, AppendSlices, Effect
from roost.volume.meta.stored_files import AddStoredFiles
from roost.volume.model import ChunkNo, Edge, Ino, Kind, SliceId

_FIRST = ChunkNo(0)


@runtime_checkable
class StoredScans(Protocol):
    """What an engine may offer besides Scans: records as `codec` writes them, not taken apart."""

    def stored_nodes_of(self, inos: Sequence[Ino]) -> list[bytes | None]:
        """Return the attribute record of each node, in the order asked."""
        ...

    def stored_first_chunks_of(self, inos: Sequence[Ino]) -> list[bytes]:
        """Return all slice records of each file's chunk 0; b"" for a chunk that has none."""
        ...


@runtime_checkable
class TakesStoredFiles(Protocol):
    """An engine that applies AddStoredFiles; for others it is to be taken apart."""

    @property
    def takes_stored_files(self) -> Literal[True]:
        """Say so."""
        ...


def parts_of(
    files: AddStoredFiles, is_new: Callable[[SliceId], bool] = lambda _id: True
) -> Iterator[Effect]:
    """Yield the effects that add the files one by one; `is_new` tells who refers first."""
    for file in files.files:
        yield AddNode(file.ino, decode_attr(file.node))
        yield AddEdge(files.parent, file.name, Edge(Kind.FILE, file.ino))
        for one in decode_slices(file.data):
            yield AppendSlices(file.ino, _FIRST, (one,))
            yield AddSliceRefs(one.id, 1, one.size, is_new=is_new(one.id))


def taken_apart(effects: Iterable[Effect]) -> Iterator[Effect]:
    """Yield the effects with files one by one."""
    for effect in effects:
        if isinstance(effect, AddStoredFiles):
            yield from parts_of(effect)
        else:
            yield effect
