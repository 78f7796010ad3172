"""A state machine: the in-process client against a plain directory of the system.

Each rule does the same thing on both sides and compares what came of it, value or errno.  Handles
stay open across removals and renames.  Before the end, a second, read-only client must see the
same tree; then the volume is checked, every block is read, and no object may be left that no slice
names.

Offsets lie around the borders of blocks (64 KiB) and chunks (64 MiB), where the mistakes are; files
are compared in windows there, so that holes cost nothing.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from roost.volume.check import check_volume
from roost.volume.client import Mode, VolumeClient
from roost.volume.errors import FsError
from roost.volume.model import AttrChange
from roost.volume.vfs.handles import VolumeFile

CHUNK = 64 << 20
BLOCK = 64 << 10
_WINDOWS = ((0, 2 * BLOCK + 400), (CHUNK - 300, BLOCK + 1000))
_NAMES = st.sampled_from(["a", "b", "c", "d"])
PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
OFFSETS = st.one_of(
    st.integers(0, 300),
    st.integers(BLOCK - 100, BLOCK + 100),
    st.integers(CHUNK - 100, CHUNK + 100),
)
_DATA = st.one_of(
    st.binary(min_size=1, max_size=200),
    st.builds(lambda byte, n: bytes([byte]) * n, st.integers(1, 255), st.integers(1, BLOCK + 300)),
)
# The same refusal under two names: POSIX lets unlink(2) of a folder fail with either.
_SAME = {errno.EISDIR: errno.EPERM}


class Handles:
    """One file open on both sides."""

    def __init__(self, ours: VolumeFile, theirs: int) -> None:
        self.ours = ours
        self.theirs = theirs


class VolumeMachine(RuleBasedStateMachine):
    """Subclass it and set `open_client(folder, read_only)`; `folder` is new for each example."""

    open_client: ClassVar[Callable[[Path, bool], VolumeClient]]
    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="roost-machine-"))
        self._plain = self._folder / "plain"
        self._open: list[Handles] = []

    @initialize()
    def start(self) -> None:
        self._plain.mkdir()
        self._client = type(self).open_client(self._folder, False)

    # ---- names
    @rule(path=PATHS)
    def mkdir(self, path: str) -> None:
        self._both(lambda: self._client.mkdir(path), lambda: (self._plain / path).mkdir())

    @rule(path=PATHS)
    def rmdir(self, path: str) -> None:
        self._both(lambda: self._client.rmdir(path), lambda: (self._plain / path).rmdir())

    @rule(path=PATHS)
    def remove(self, path: str) -> None:
        self._both(lambda: self._client.remove(path), lambda: (self._plain / path).unlink())

    @rule(path=PATHS)
    def remove_tree(self, path: str) -> None:
        if (self._plain / path).is_symlink() or not (self._plain / path).is_dir():
            return
        self._client.remove_tree(path)
        shutil.rmtree(self._plain / path)

    @rule(path=PATHS, new_path=PATHS, replace=st.booleans())
    def rename(self, path: str, new_path: str, replace: bool) -> None:
        if not replace and os.path.lexists(self._plain / new_path):
            with contextlib.suppress(FsError):
                self._client.rename(path, new_path, replace=False)
                assert path == new_path, "an existing name was replaced"
            return
        self._both(
            lambda: self._client.rename(path, new_path, replace=replace),
            lambda: os.rename(self._plain / path, self._plain / new_path),
        )

    @rule(path=PATHS, new_path=PATHS)
    def link(self, path: str, new_path: str) -> None:
        if (self._plain / path).is_dir() and os.path.lexists(self._plain / new_path):
            return  # refused for two reasons; POSIX does not say which is named
        self._both(
            lambda: self._client.link(path, new_path),
            lambda: os.link(self._plain / path, self._plain / new_path, follow_symlinks=False),
        )

    @rule(path=PATHS, to=PATHS)
    def symlink(self, path: str, to: str) -> None:
        self._both(
            lambda: self._client.symlink(to, path),
            lambda: os.symlink(to, self._plain / path),
        )

    @rule(path=PATHS)
    def readlink(self, path: str) -> None:
        self._both(lambda: self._client.readlink(path), lambda: os.readlink(self._plain / path))

    # ---- whole files
    @rule(path=PATHS, data=_DATA)
    def write(self, path: str, data: bytes) -> None:
        self._both(
            lambda: self._client.write(path, data),
            lambda: _discard((self._plain / path).write_bytes(data)),
        )

    @rule(path=PATHS, data=_DATA)
    def append(self, path: str, data: bytes) -> None:
        def theirs() -> None:
            with (self._plain / path).open("ab") as file:
                file.write(data)

        self._both(lambda: _discard(self._client.append(path, data)), theirs)

    @rule(path=PATHS, length=OFFSETS)
    def truncate(self, path: str, length: int) -> None:
        self._both(
            lambda: self._client.truncate(path, length),
            lambda: os.truncate(self._plain / path, length),
        )

    @rule(path=PATHS, data=_DATA)
    def adopt(self, path: str, data: bytes) -> None:
        target = self._plain / path
        if target.is_dir() or not target.parent.is_dir():
            return
        local = self._folder / "local"
        local.write_bytes(data)
        assert self._client.adopt(local, path) == len(data)
        replacement = self._folder / "replacement"
        replacement.write_bytes(data)
        replacement.rename(target)
        assert self._client.open_local(path).read_bytes() == data

    @rule(path=PATHS)
    def open_local(self, path: str) -> None:
        if (self._plain / path).is_file():
            self._same_bytes(
                path, lambda offset, size: _pread(self._client.open_local(path), offset, size)
            )

    # ---- attributes
    @rule(path=PATHS, mode=st.integers(0, 0o777))
    def chmod(self, path: str, mode: int) -> None:
        self._both(
            lambda: _discard(self._client.setattr(path, AttrChange(mode=mode))),
            lambda: os.chmod(self._plain / path, mode),
        )

    @rule(path=PATHS, name=st.sampled_from(["user.x", "user.y"]), value=st.binary(max_size=20))
    def setxattr(self, path: str, name: str, value: bytes) -> None:
        self._both(
            lambda: self._client.setxattr(path, name, value),
            lambda: os.setxattr(self._plain / path, name, value),
        )

    @rule(path=PATHS, name=st.sampled_from(["user.x", "user.y"]))
    def getxattr(self, path: str, name: str) -> None:
        self._both(
            lambda: self._client.getxattr(path, name),
            lambda: os.getxattr(self._plain / path, name),
        )

    @rule(path=PATHS, name=st.sampled_from(["user.x", "user.y"]))
    def removexattr(self, path: str, name: str) -> None:
        self._both(
            lambda: self._client.removexattr(path, name),
            lambda: os.removexattr(self._plain / path, name),
        )

    # ---- open files
    @rule(target=handles, path=PATHS, mode=st.sampled_from(["r+", "w+", "x+"]))
    def open(self, path: str, mode: Mode) -> Handles | None:
        flags = {"r+": 0, "w+": os.O_CREAT | os.O_TRUNC, "x+": os.O_CREAT | os.O_EXCL}[mode]
        opened: list[VolumeFile] = []
        descriptors: list[int] = []

        def ours() -> None:
            opened.append(self._client.open_file(path, mode))

        def theirs() -> None:
            descriptors.append(os.open(self._plain / path, os.O_RDWR | flags, 0o644))

        self._both(ours, theirs)
        if not opened:
            return None
        self._open.append(Handles(opened[0], descriptors[0]))
        return self._open[-1]

    @rule(handle=handles, offset=OFFSETS, data=_DATA)
    def pwrite(self, handle: Handles | None, offset: int, data: bytes) -> None:
        if handle is not None:
            handle.ours.pwrite(offset, data)
            os.pwrite(handle.theirs, data, offset)

    @rule(handle=handles, data=_DATA)
    def append_to_handle(self, handle: Handles | None, data: bytes) -> None:
        if handle is not None:
            offset = os.fstat(handle.theirs).st_size
            assert handle.ours.append(data) == offset
            os.pwrite(handle.theirs, data, offset)

    @rule(handle=handles, offset=OFFSETS, size=st.integers(0, 3 * BLOCK))
    def pread(self, handle: Handles | None, offset: int, size: int) -> None:
        if handle is not None:
            assert handle.ours.pread(offset, size) == os.pread(handle.theirs, size, offset)

    @rule(handle=handles, length=OFFSETS)
    def ftruncate(self, handle: Handles | None, length: int) -> None:
        if handle is not None:
            handle.ours.truncate(length)
            os.ftruncate(handle.theirs, length)

    @rule(handle=handles)
    def fsync(self, handle: Handles | None) -> None:
        if handle is not None:
            handle.ours.fsync()
            assert handle.ours.stat().length == os.fstat(handle.theirs).st_size

    @rule(handle=consumes(handles))
    def close(self, handle: Handles | None) -> None:
        if handle is not None:
            self._open.remove(handle)
            handle.ours.close()
            os.close(handle.theirs)

    # ---- comparing
    @rule(path=PATHS)
    def read(self, path: str) -> None:
        if (self._plain / path).is_file():
            self._same_bytes(path, lambda offset, size: self._client.read(path, offset, size))
        else:
            self._both(
                lambda: self._client.read(path, 0, 1),
                lambda: (self._plain / path).read_bytes()[:1],
            )

    @invariant()
    def the_root_lists_the_same_names(self) -> None:
        assert self._client.listdir("/") == sorted(os.listdir(self._plain))

    def teardown(self) -> None:
        if not hasattr(self, "_client"):
            return
        try:
            for handle in self._open:
                handle.ours.close()
                os.close(handle.theirs)
            self._same_tree(self._client)
            with type(self).open_client(self._folder, True) as reader:
                self._same_tree(reader)
            self._client.close()
            with type(self).open_client(self._folder, True) as reader:
                self._sound(reader)
        finally:
            self._client.close()
            shutil.rmtree(self._folder)

    def _both(self, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
        """Do both; the values, or the errnos, must be equal."""
        expected, found = _outcome(theirs), _outcome(ours)
        assert found == expected, f"ours {found!r}, the system's {expected!r}"

    def _same_bytes(self, path: str, read: Callable[[int, int], bytes]) -> None:
        for offset, size in _WINDOWS:
            expected = _pread(self._plain / path.lstrip("/"), offset, size)
            found = read(offset, size)
            assert found == expected, f"{path} differs in the window from {offset}"

    def _same_tree(self, client: VolumeClient) -> None:
        for folder, folders, names in os.walk(self._plain):
            below = os.path.relpath(folder, self._plain)
            path = "/" if below == "." else f"/{below}"
            assert client.listdir(path) == sorted(folders + names), path
            for name in folders + names:
                self._same_node(client, f"{path.rstrip('/')}/{name}")

    def _same_node(self, client: VolumeClient, path: str) -> None:
        plain = self._plain / path.lstrip("/")
        expected, found = plain.lstat(), client.stat(path, follow=False)
        assert found.st_mode == expected.st_mode, path
        assert found.nlink == expected.st_nlink, path
        if plain.is_symlink():
            assert client.readlink(path) == os.readlink(plain)
        elif plain.is_file():
            assert found.length == expected.st_size, path
            self._same_bytes(path, lambda offset, size: client.read(path, offset, size))
            names = {name for name in os.listxattr(plain) if name.startswith("user.")}
            assert set(client.listxattr(path)) == names

    def _sound(self, client: VolumeClient) -> None:
        report = check_volume(client, read_blocks=True)
        assert report.is_clean, report
        blocks = client.core.blocks
        named = {
            blocks.key(ref)
            for chunk in client.meta.list_slices()
            for record in chunk.slices
            if record.id
            for ref in blocks.refs(record.id, record.size)
        }
        stored = {info.key for info in blocks.store.list("chunks/")}
        assert stored == named, f"left over: {sorted(stored - named)}"


def _outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except OSError as error:
        number = error.errno or 0
        return f"errno {errno.errorcode.get(_SAME.get(number, number), number)}"


def _discard(_value: object) -> None:
    return None


def _pread(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), size, offset)
