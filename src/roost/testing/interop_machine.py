"""A state machine: one volume driven from both sides at once, and a plain folder as the judge.

Each step is done by the client in this process or through the official mount, and on the plain
folder; all three must agree on what came of it.  After each step both sides must show the same
tree, bytes, attributes and times, and the same tree as the plain folder but for times.  A step is
root's or an unprivileged user's, whom modes, sticky folders and ACLs hold back.  What was deleted
is put back from the trash by either side.

Every example has a top folder of its own on one volume that stays mounted: a mount costs a second.
A quota counts what is in it; those who run the machine compare it with the tree at the end.

What is not compared, and why:

* A user's rename between two names of one node does nothing; Linux asks for no right, Roost does.
* A user's link to a file of another: fs.protected_hardlinks of the host decides, Roost knows none.
* `juicefs clone` is run by root alone: the command speaks to the mount through a file of root's.
* Where POSIX lets a call be refused for several reasons and does not say which is named, the step
  is left out; a user who lacks a right as well must be refused by both, for whatever reason.
* Limits that refuse are no steps: the official mount learns of what others used with its heartbeat,
  after seconds.  They are tests of their own (tests/interop/test_quotas_of_both.py).
* Quotas of users and groups are not compared: juicefs counts symbolic links when they are made, but
  not when it counts what is there.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roost.testing.client_side import ClientSide
from roost.testing.interop_parts import (
    Trashed,
    acl,
    are_refusals,
    as_cloned,
    below,
    difference,
    outcome,
    taken_from_trash,
)
from roost.testing.side_of_user import UserProcess, UserSide
from roost.testing.sides import (
    ACCESS_ACL,
    DEFAULT_ACL,
    FALLOC_KEEP_SIZE,
    FALLOC_PUNCH_HOLE,
    FALLOC_ZERO_RANGE,
    PosixSide,
    Verbs,
)
from roost.volume.client import VolumeClient
from roost.volume.model import RenameFlag

BLOCK = 64 << 10
USER, GROUP = 1000, 2002
"""The unprivileged caller, and a group that has this user as a member."""


@dataclass(frozen=True)
class Actor:
    """Who does a step, through what."""

    is_official: bool
    is_user: bool


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
_ACTORS = st.builds(Actor, st.booleans(), st.sampled_from([False, False, True]))
_MODES = st.integers(0, 0o7777).map(lambda mode: mode | 0o700)


class BothSides(Protocol):
    """One volume, open in this process for root and for USER, mounted by the official client."""

    client: VolumeClient
    user_client: VolumeClient
    mount: Path
    user: UserProcess

    def new_top(self) -> str:
        """Make a folder in the root, with a quota that both sides count; return its name."""
        ...

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

    @initialize(official=_SIDES, mode=st.sampled_from([0o755, 0o777, 0o1777]))
    def start(self, official: bool, mode: int) -> None:
        """Take the example's folder, closed or open to the user."""
        volume = self.volume
        self._top = volume.new_top()
        number = next(self._numbers)
        self._plain_top, self._plain_trash = self.work / f"e{number}", self.work / f"trash{number}"
        self._plain_top.mkdir()
        self._plain_trash.mkdir()
        self._mount_top = volume.mount / self._top
        self._trashed: dict[str, Trashed] = {}
        self._ours = ClientSide(volume.client, f"/{self._top}")
        self._theirs = PosixSide(self._mount_top)
        self._plain = PosixSide(self._plain_top)
        self._plain_as_user = UserSide(volume.user, self._plain_top)
        self._sides: dict[Actor, Verbs] = {
            Actor(is_official=False, is_user=False): self._ours,
            Actor(is_official=True, is_user=False): self._theirs,
            Actor(is_official=False, is_user=True): ClientSide(volume.user_client, f"/{self._top}"),
            Actor(is_official=True, is_user=True): UserSide(volume.user, self._mount_top),
        }
        self._plain.chmod(".", mode)
        (self._theirs if official else self._ours).chmod(".", mode)

    # ---- data
    @rule(by=_ACTORS, path=_PATHS, offset=_OFFSETS, data=_DATA)
    def write(self, by: Actor, path: str, offset: int, data: bytes) -> None:
        self._step(by, lambda side: side.write(path, offset, data))

    @rule(by=_ACTORS, path=_PATHS, data=_DATA)
    def append(self, by: Actor, path: str, data: bytes) -> None:
        self._step(by, lambda side: side.append(path, data))

    @rule(by=_ACTORS, path=_PATHS, length=_OFFSETS)
    def truncate(self, by: Actor, path: str, length: int) -> None:
        self._step(by, lambda side: side.truncate(path, length))

    @rule(
        by=_ACTORS,
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
    def fallocate(self, by: Actor, path: str, mode: int, offset: int, size_bytes: int) -> None:
        self._step(by, lambda side: side.fallocate(path, mode, offset, size_bytes))

    @rule(
        by=_ACTORS,
        source=_PATHS,
        offset=_OFFSETS,
        copy=_PATHS,
        to=_OFFSETS,
        size_bytes=st.integers(1, BLOCK + 100),
    )
    def copy_range(
        self, by: Actor, source: str, offset: int, copy: str, to: int, size_bytes: int
    ) -> None:
        if not self._are_two_files(source, copy):
            return  # Refused for several reasons; POSIX does not say which is named.
        self._step(by, lambda side: side.copy_range(source, offset, copy, to, size_bytes))

    # ---- names
    @rule(by=_ACTORS, path=_PATHS, mode=st.sampled_from([0o755, 0o700]))
    def mkdir(self, by: Actor, path: str, mode: int) -> None:
        self._step(by, lambda side: side.mkdir(path, mode))

    @rule(by=_ACTORS, path=_PATHS)
    def rmdir(self, by: Actor, path: str) -> None:
        with self._leaving(path):
            self._step(by, lambda side: side.rmdir(path))

    @rule(by=_ACTORS, path=_PATHS)
    def unlink(self, by: Actor, path: str) -> None:
        with self._leaving(path):
            self._step(by, lambda side: side.unlink(path))

    @rule(
        by=_ACTORS,
        path=_PATHS,
        new_path=_PATHS,
        flags=st.sampled_from(
            [RenameFlag.NONE, RenameFlag.NONE, RenameFlag.NOREPLACE, RenameFlag.EXCHANGE]
        ),
    )
    def rename(self, by: Actor, path: str, new_path: str, flags: RenameFlag) -> None:
        if path.startswith(f"{new_path}/") or new_path.startswith(f"{path}/"):
            return  # Refused for several reasons; POSIX does not say which is named.
        if flags and path == new_path:
            return
        if by.is_user and self._are_one_node(path, new_path):
            return
        self._step(by, lambda side: side.rename(path, new_path, flags))

    @rule(by=_ACTORS, path=_PATHS, new_path=_PATHS)
    def link(self, by: Actor, path: str, new_path: str) -> None:
        if (self._plain_top / path).is_dir() and os.path.lexists(self._plain_top / new_path):
            return  # Refused for two reasons.
        place = self._plain_top / path
        if by.is_user and os.path.lexists(place) and place.lstat().st_uid != USER:
            return  # A host's fs.protected_hardlinks decides.
        self._step(by, lambda side: side.link(path, new_path))

    @rule(by=_ACTORS, path=_PATHS, to=_NAMES)
    def symlink(self, by: Actor, path: str, to: str) -> None:
        self._step(by, lambda side: side.symlink(to, path))

    @rule(official=_SIDES, path=_PATHS, new_path=_PATHS)
    def clone(self, official: bool, path: str, new_path: str) -> None:
        source, target = self._plain_top / path, self._plain_top / new_path
        if not source.exists() or source.is_symlink() or os.path.lexists(target):
            return
        if not target.parent.is_dir() or f"{new_path}/".startswith(f"{path}/"):
            return
        if any(ACCESS_ACL in os.listxattr(place) for place in below(source)):
            return  # A clone takes the umask from the mode alone, a plain folder from the ACL too.
        if official:
            self.volume.official_clone(self._mount_top / path, self._mount_top / new_path)
        else:
            self._ours.clone(path, new_path)
        self._plain.clone(path, new_path)
        as_cloned(source, target)
        InteropMachine.steps += 1

    @rule(official=_SIDES, number=st.integers(0, 99), elsewhere=st.one_of(st.none(), _PATHS))
    def restore(self, official: bool, number: int, elsewhere: str | None) -> None:
        if not self._trashed:
            return
        entry = sorted(self._trashed)[number % len(self._trashed)]
        one = self._trashed[entry]
        path = elsewhere or one.path
        place = self._plain_top / path
        if os.path.lexists(place) or not place.parent.is_dir():
            return
        hour = self._hour_of(entry)
        if official:
            taken_from_trash(self.volume.mount / ".trash" / hour / entry, self._mount_top / path)
        else:
            self.volume.client.rename(f"/.trash/{hour}/{entry}", f"/{self._top}/{path}")
        one.put_back(place)
        del self._trashed[entry]
        InteropMachine.steps += 1

    # ---- attributes
    @rule(by=_ACTORS, path=_PATHS, mode=_MODES)
    def chmod(self, by: Actor, path: str, mode: int) -> None:
        self._step(by, lambda side: side.chmod(path, mode))

    @rule(
        by=_ACTORS,
        path=_PATHS,
        uid=st.sampled_from([0, USER]),
        gid=st.sampled_from([0, GROUP]),
    )
    def chown(self, by: Actor, path: str, uid: int, gid: int) -> None:
        self._step(by, lambda side: side.chown(path, uid, gid))

    @rule(by=_ACTORS, path=_PATHS, mtime_ns=st.integers(10**9, 2 * 10**18))
    def set_mtime(self, by: Actor, path: str, mtime_ns: int) -> None:
        self._step(by, lambda side: side.set_mtime(path, mtime_ns))

    @rule(by=_ACTORS, path=_PATHS, name=_XATTRS, value=st.binary(min_size=1, max_size=20))
    def setxattr(self, by: Actor, path: str, name: str, value: bytes) -> None:
        if not (self._plain_top / path).is_symlink():
            self._step(by, lambda side: side.setxattr(path, name, value))

    @rule(by=_ACTORS, path=_PATHS, name=_XATTRS)
    def removexattr(self, by: Actor, path: str, name: str) -> None:
        if not (self._plain_top / path).is_symlink():
            self._step(by, lambda side: side.removexattr(path, name))

    @rule(
        by=_ACTORS,
        path=_PATHS,
        is_default=st.booleans(),
        bits=st.lists(st.integers(0, 7), min_size=6, max_size=6),
        is_named=st.booleans(),
    )
    def setfacl(
        self, by: Actor, path: str, is_default: bool, bits: list[int], is_named: bool
    ) -> None:
        if not self.has_acls or (self._plain_top / path).is_symlink():
            return
        name = DEFAULT_ACL if is_default else ACCESS_ACL
        value = acl(bits, is_named, USER, GROUP)
        self._step(by, lambda side: side.setxattr(path, name, value))

    # ---- comparing
    @invariant()
    def both_sides_show_the_same_tree(self) -> None:
        if not hasattr(self, "_plain"):
            return
        ours, theirs = self._ours.tree(), self._theirs.tree()
        assert ours == theirs, difference("the client", ours, "the mount", theirs)
        plain = {path: seen.without_times() for path, seen in self._plain.tree().items()}
        shown = {path: seen.without_times() for path, seen in ours.items()}
        assert shown == plain, difference("the volume", shown, "the plain folder", plain)

    def teardown(self) -> None:
        if hasattr(self, "_plain"):
            shutil.rmtree(self._plain_top)
            shutil.rmtree(self._plain_trash)

    def _step(self, by: Actor, do: Callable[[Verbs], object]) -> None:
        expected = outcome(do, self._plain_as_user if by.is_user else self._plain)
        found = outcome(do, self._sides[by])
        if not (by.is_user and are_refusals(expected, found)):
            assert found == expected, f"{by} {found!r}, the system {expected!r}"
        InteropMachine.steps += 1

    @contextmanager
    def _leaving(self, path: str) -> Iterator[None]:
        """Keep what the plain folder has at `path`, to be put back if it goes into the trash."""
        place = self._plain_top / path
        if not os.path.lexists(place):
            yield
            return
        client, full = self.volume.client, f"{self._top}/{path}"
        above, name = os.path.split(full)
        entry = f"{client.node(above).ino}-{client.node(full, follow=False).ino}-{name}"
        kept = Trashed(path, self._plain.seen(path), self._plain_trash / entry)
        if not os.path.lexists(kept.copy):
            kept.keep(place)
        yield
        if not os.path.lexists(place):
            self._trashed[entry] = kept

    def _hour_of(self, entry: str) -> str:
        """Return the hour of the trash in which an entry lies."""
        client = self.volume.client
        hours = client.listdir("/.trash")
        found = [hour for hour in hours if entry in client.listdir(f"/.trash/{hour}")]
        assert found, f"{entry} is not in the trash"
        return found[-1]

    def _are_one_node(self, path: str, other: str) -> bool:
        one, two = self._plain_top / path, self._plain_top / other
        both = os.path.lexists(one) and os.path.lexists(two)
        return both and os.path.samestat(one.lstat(), two.lstat())

    def _are_two_files(self, path: str, other: str) -> bool:
        one, two = self._plain_top / path, self._plain_top / other
        return one.is_file() and two.is_file() and not one.samefile(two)
