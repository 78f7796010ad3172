"""The state machine of the client, with what changes a file's shape: holes, copies, clones."""

import os
import shutil

from hypothesis import strategies as st
from hypothesis.stateful import rule

from roost.testing.volume_machine import BLOCK, OFFSETS, PATHS, Handles, VolumeMachine
from roost.volume.errors import FsError
from roost.volume.meta.answers import FallocateFlag

_FALLOCATE = st.sampled_from(
    [
        FallocateFlag.NONE,
        FallocateFlag.KEEP_SIZE,
        FallocateFlag.PUNCH_HOLE | FallocateFlag.KEEP_SIZE,
        FallocateFlag.ZERO_RANGE,
        FallocateFlag.ZERO_RANGE | FallocateFlag.KEEP_SIZE,
    ]
)


class ShapeMachine(VolumeMachine):
    """Subclass it as VolumeMachine."""

    handles = VolumeMachine.handles

    @rule(path=PATHS, new_path=PATHS)
    def clone(self, path: str, new_path: str) -> None:
        source, target = self._plain / path, self._plain / new_path
        if source.is_symlink() or not source.is_file():
            return
        if os.path.lexists(target) or not target.parent.is_dir():
            return
        self._client.clone(path, new_path)
        shutil.copy2(source, target)
        target.chmod(source.stat().st_mode & ~0o022)

    @rule(handle=handles, offset=OFFSETS, size=st.integers(1, 3 * BLOCK))
    def preadinto(self, handle: Handles | None, offset: int, size: int) -> None:
        if handle is not None:
            target = bytearray(size)
            found = handle.ours.preadinto(offset, target)
            assert target[:found] == os.pread(handle.theirs, size, offset)

    @rule(handle=handles, mode=_FALLOCATE, offset=OFFSETS, size=st.integers(1, 2 * BLOCK))
    def fallocate(
        self, handle: Handles | None, mode: FallocateFlag, offset: int, size: int
    ) -> None:
        if handle is not None:
            handle.ours.fallocate(offset, size, mode)
            _fallocate(handle.theirs, mode, offset, size)

    @rule(
        handle=handles,
        source=handles,
        source_offset=OFFSETS,
        offset=OFFSETS,
        size=st.integers(1, 2 * BLOCK),
    )
    def copy_range(
        self,
        handle: Handles | None,
        source: Handles | None,
        source_offset: int,
        offset: int,
        size: int,
    ) -> None:
        if handle is None or source is None:
            return
        same = os.path.sameopenfile(handle.theirs, source.theirs)
        if same and abs(offset - source_offset) < size:
            return  # refused; the system cuts `size` at the end of the file before it looks
        data = os.pread(source.theirs, size, source_offset)
        copied = handle.ours.copy_from(source.ours, source_offset, offset, size)
        assert copied == len(data)
        os.pwrite(handle.theirs, data, offset)

    @rule(handle=handles, offset=OFFSETS)
    def seek(self, handle: Handles | None, offset: int) -> None:
        """What is called a hole holds zeros only; data is found where there is any."""
        if handle is None or offset >= os.fstat(handle.theirs).st_size:
            return
        hole = handle.ours.seek_hole(offset)
        assert offset <= hole <= os.fstat(handle.theirs).st_size
        try:
            data = handle.ours.seek_data(offset)
        except FsError:
            data = os.fstat(handle.theirs).st_size
        assert data >= offset
        assert (data == offset) == (hole > offset)
        between = os.pread(handle.theirs, min(data - offset, BLOCK), offset)
        assert between == bytes(len(between))


def _fallocate(descriptor: int, mode: FallocateFlag, offset: int, size: int) -> None:
    """Do it to a plain file; what its file system does not offer, by writing zeros."""
    length = os.fstat(descriptor).st_size
    end = offset + size
    if mode & (FallocateFlag.PUNCH_HOLE | FallocateFlag.ZERO_RANGE) and offset < length:
        os.pwrite(descriptor, bytes(min(end, length) - offset), offset)
    if not mode & FallocateFlag.KEEP_SIZE and end > length:
        os.ftruncate(descriptor, end)
