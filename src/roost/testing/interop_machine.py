"""A state machine: one volume driven from both sides at once, and a plain folder as the judge.

Each step is done by the client in this process or through the official mount, and on the plain
folder; all three must agree on what came of it.  After each step both sides must show the same
tree, bytes, attributes and times, and the same tree as the plain folder but for times.

Every example has a top folder of its own on one volume that stays mounted: a mount costs a second.
"""

import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roost.testing.sides import (
    ACCESS_ACL,
    DEFAULT_ACL,
    FALLOC_KEEP_SIZE,
    FALLOC_PUNCH_HOLE,
    FALLOC_ZERO_RANGE,
    ClientSide,
    PosixSide,
    Seen,
    Side,
)
from roost.volume.client import VolumeClient
from roost.volume.model import RenameFlag

BLOCK = 64 << 10
_NAMES = st.sampled_from(["a", "b", "c"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=2).map("/".join)
_OFFSETS = st.one_of(
    st.integers(0, 300), st.integers(4000, 4200), st.integers(BLOCK - 100, BLOCK + 100)
)
_DATA = st.one_of(
    st.binary(min_size=1, max_size=100),
    st.builds(lambda byte, n: bytes([byte]) * n, st.integers(1, 255), st.integers(1, BLOCK + 300)),
)
_XATTRS = st.sampled_from(["user.x", "user.y"])
_SIDES = st.booleans()  # True: the official client's
_MODES = st.integers(0, 0o7777).map(lambda mode: mode | 0o700)
# The same refusal under two names: POSIX lets unlink(2) of a folder fail with either.
_SAME = {errno.EISDIR: errno.EPERM}
_USER, _GROUP = 1001, 2002


class BothSides(Protocol):
    """One volume, open in this process and mounted by the official client."""

    client: VolumeClient
    mount: Path

    def official_clone(self, path: Path, new_path: Path) -> None:
        """Run `juicefs clone`.  Raises OSError if it fails."""
        ...


class InteropMachine(RuleBasedStateMachine):
    """Subclass it and set `volume` and `work`, a local folder, before it runs."""

    volume: ClassVar[BothSides]
    work: ClassVar[Path]
    has_acls: ClassVar[bool] = True
    steps: ClassVar[int] = 0
    _numbers: ClassVar["itertools.count[int]"] = itertools.count()

    @initialize()
    def start(self) -> None:
        """Make the example's folder, from either side."""
        top = f"e{next(self._numbers)}"
        self._plain_top = self.work / top
        self._plain_top.mkdir()
        self.volume.client.mkdir(f"/{top}", 0o755)
        self._mount_top = self.volume.mount / top
        self._ours = ClientSide(self.volume.client, f"/{top}")
        self._theirs = PosixSide(self._mount_top)
        self._plain = PosixSide(self._plain_top)

    # ---- data
    @rule(official=_SIDES, path=_PATHS, offset=_OFFSETS, data=_DATA)
    def write(self, official: bool, path: str, offset: int, data: bytes) -> None:
        self._step(official, lambda side: side.write(path, offset, data))

    @rule(official=_SIDES, path=_PATHS, data=_DATA)
    def append(self, official: bool, path: str, data: bytes) -> None:
        self._step(official, lambda side: side.append(path, data))

    @rule(official=_SIDES, path=_PATHS, length=_OFFSETS)
    def truncate(self, official: bool, path: str, length: int) -> None:
        self._step(official, lambda side: side.truncate(path, length))

    @rule(
        official=_SIDES,
        path=_PATHS,
        mode=st.sampled_from(
            [
                0,
                FALLOC_KEEP_SIZE,
                FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE,
                FALLOC_ZERO_RANGE,
                FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE,
            ]
        ),
        offset=_OFFSETS,
        size_bytes=st.integers(1, BLOCK + 100),
    )
    def fallocate(self, official: bool, path: str, mode: int, offset: int, size_bytes: int) -> None:
        self._step(official, lambda side: side.fallocate(path, mode, offset, size_bytes))

    @rule(
        official=_SIDES,
        source=_PATHS,
        offset=_OFFSETS,
        copy=_PATHS,
        to=_OFFSETS,
        size_bytes=st.integers(1, BLOCK + 100),
    )
    def copy_range(
        self, official: bool, source: str, offset: int, copy: str, to: int, size_bytes: int
    ) -> None:
        if not self._are_two_files(source, copy):
            return  # Refused for several reasons; POSIX does not say which is named.
        self._step(official, lambda side: side.copy_range(source, offset, copy, to, size_bytes))

    # ---- names
    @rule(official=_SIDES, path=_PATHS, mode=st.sampled_from([0o755, 0o700]))
    def mkdir(self, official: bool, path: str, mode: int) -> None:
        self._step(official, lambda side: side.mkdir(path, mode))

    @rule(official=_SIDES, path=_PATHS)
    def rmdir(self, official: bool, path: str) -> None:
        self._step(official, lambda side: side.rmdir(path))

    @rule(official=_SIDES, path=_PATHS)
    def unlink(self, official: bool, path: str) -> None:
        self._step(official, lambda side: side.unlink(path))

    @rule(
        official=_SIDES,
        path=_PATHS,
        new_path=_PATHS,
        flags=st.sampled_from(
            [RenameFlag.NONE, RenameFlag.NONE, RenameFlag.NOREPLACE, RenameFlag.EXCHANGE]
        ),
    )
    def rename(self, official: bool, path: str, new_path: str, flags: RenameFlag) -> None:
        if path.startswith(f"{new_path}/") or new_path.startswith(f"{path}/"):
            return  # Refused for several reasons; POSIX does not say which is named.
        if flags and path == new_path:
            return
        self._step(official, lambda side: side.rename(path, new_path, flags))

    @rule(official=_SIDES, path=_PATHS, new_path=_PATHS)
    def link(self, official: bool, path: str, new_path: str) -> None:
        if (self._plain_top / path).is_dir() and os.path.lexists(self._plain_top / new_path):
            return  # Refused for two reasons.
        self._step(official, lambda side: side.link(path, new_path))

    @rule(official=_SIDES, path=_PATHS, to=_NAMES)
    def symlink(self, official: bool, path: str, to: str) -> None:
        self._step(official, lambda side: side.symlink(to, path))

    @rule(official=_SIDES, path=_PATHS, new_path=_PATHS)
    def clone(self, official: bool, path: str, new_path: str) -> None:
        source, target = self._plain_top / path, self._plain_top / new_path
        if not source.exists() or source.is_symlink() or os.path.lexists(target):
            return
        if not target.parent.is_dir() or f"{new_path}/".startswith(f"{path}/"):
            return
        if any(ACCESS_ACL in os.listxattr(place) for place in _below(source)):
            return  # A clone takes the umask from the mode alone, a plain folder from the ACL too.
        if official:
            self.volume.official_clone(self._mount_top / path, self._mount_top / new_path)
        else:
            self._ours.clone(path, new_path)
        self._plain.clone(path, new_path)
        _as_cloned(self._plain_top, new_path)
        InteropMachine.steps += 1

    # ---- attributes
    @rule(official=_SIDES, path=_PATHS, mode=_MODES)
    def chmod(self, official: bool, path: str, mode: int) -> None:
        self._step(official, lambda side: side.chmod(path, mode))

    @rule(
        official=_SIDES,
        path=_PATHS,
        uid=st.sampled_from([0, _USER]),
        gid=st.sampled_from([0, _GROUP]),
    )
    def chown(self, official: bool, path: str, uid: int, gid: int) -> None:
        self._step(official, lambda side: side.chown(path, uid, gid))

    @rule(official=_SIDES, path=_PATHS, mtime_ns=st.integers(10**9, 2 * 10**18))
    def set_mtime(self, official: bool, path: str, mtime_ns: int) -> None:
        self._step(official, lambda side: side.set_mtime(path, mtime_ns))

    @rule(official=_SIDES, path=_PATHS, name=_XATTRS, value=st.binary(min_size=1, max_size=20))
    def setxattr(self, official: bool, path: str, name: str, value: bytes) -> None:
        if not (self._plain_top / path).is_symlink():
            self._step(official, lambda side: side.setxattr(path, name, value))

    @rule(official=_SIDES, path=_PATHS, name=_XATTRS)
    def removexattr(self, official: bool, path: str, name: str) -> None:
        if not (self._plain_top / path).is_symlink():
            self._step(official, lambda side: side.removexattr(path, name))

    @rule(
        official=_SIDES,
        path=_PATHS,
        is_default=st.booleans(),
        bits=st.lists(st.integers(0, 7), min_size=6, max_size=6),
        is_named=st.booleans(),
    )
    def setfacl(
        self, official: bool, path: str, is_default: bool, bits: list[int], is_named: bool
    ) -> None:
        if not self.has_acls or (self._plain_top / path).is_symlink():
            return
        name = DEFAULT_ACL if is_default else ACCESS_ACL
        value = _acl(bits, is_named)
        self._step(official, lambda side: side.setxattr(path, name, value))

    # ---- comparing
    @invariant()
    def both_sides_show_the_same_tree(self) -> None:
        if not hasattr(self, "_plain"):
            return
        ours, theirs = self._ours.tree(), self._theirs.tree()
        assert ours == theirs, _difference("the client", ours, "the mount", theirs)
        plain = {path: seen.without_times() for path, seen in self._plain.tree().items()}
        shown = {path: seen.without_times() for path, seen in ours.items()}
        assert shown == plain, _difference("the volume", shown, "the plain folder", plain)

    def teardown(self) -> None:
        if hasattr(self, "_plain"):
            shutil.rmtree(self._plain_top)

    def _step(self, official: bool, do: Callable[[Side], object]) -> None:
        expected = _outcome(do, self._plain)
        found = _outcome(do, self._theirs if official else self._ours)
        who = "the mount" if official else "the client"
        assert found == expected, f"{who} {found!r}, the system {expected!r}"
        InteropMachine.steps += 1

    def _are_two_files(self, path: str, other: str) -> bool:
        one, two = self._plain_top / path, self._plain_top / other
        return one.is_file() and two.is_file() and not one.samefile(two)


def _outcome(do: Callable[[Side], object], side: Side) -> object:
    try:
        return do(side)
    except OSError as error:
        number = error.errno or 0
        return f"errno {errno.errorcode.get(_SAME.get(number, number), number)}"


def _as_cloned(top: Path, path: str) -> None:
    """Give the copy what a clone has: the caller's ids, and the umask taken from the mode."""
    umask = os.umask(0)
    os.umask(umask)
    for place in [top / path, *(top / path).rglob("*")]:
        mode = place.lstat().st_mode & 0o7777  # changing the owner clears some of it
        os.lchown(place, os.geteuid(), os.getegid())
        if not place.is_symlink():
            os.chmod(place, mode & ~umask)


def _below(place: Path) -> Iterator[Path]:
    """Yield the node and all below it that can have an ACL."""
    return (one for one in [place, *place.rglob("*")] if not one.is_symlink())


def _acl(bits: list[int], is_named: bool) -> bytes:
    """Return an ACL as setxattr(2) takes it.  Source: the volume format reference, §2.10."""
    undefined = 0xFFFFFFFF
    entries = [(0x01, bits[0], undefined)]
    if is_named:
        entries += [(0x02, bits[1], _USER)]
    entries += [(0x04, bits[2], undefined)]
    if is_named:
        entries += [(0x08, bits[3], _GROUP), (0x10, bits[4], undefined)]
    entries += [(0x20, bits[5], undefined)]
    parts = [
        tag.to_bytes(2, "little") + mode.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, mode, who in entries
    ]
    return (2).to_bytes(4, "little") + b"".join(parts)


def _difference(one: str, ones: dict[str, Seen], other: str, others: dict[str, Seen]) -> str:
    lines = []
    for path in sorted(ones.keys() | others.keys()):
        left, right = ones.get(path), others.get(path)
        if left == right:
            continue
        if left is None or right is None:
            lines.append(f"{path}: only {one if right is None else other} has it")
            continue
        for name in Seen.__slots__:
            values = getattr(left, name), getattr(right, name)
            if values[0] != values[1]:
                lines.append(f"{path}: {name} is {values[0]!r} on {one}, {values[1]!r} on {other}")
    return "\n".join(lines)
