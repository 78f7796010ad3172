"""Trying a store: what it does right, and how fast it is.  The work of `roost objbench`.

Everything happens under one prefix of its own, which is removed at the end.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from roost.blob.prefix import PrefixStore
from roost.blob.store import BlobExists, BlobNotFound, BlobStore
from roost.errors import RoostError, Unsupported
from roost.sizes import KIB, MIB

Progress = Callable[[int, int], None]
"""Told how much is done, of how much."""

PREFIX = "__roost_benchmark__"
PASSED, FAILED, UNSUPPORTED = "pass", "FAILED", "not supported"
_LIST_TIMES = 10


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One functional test: PASSED, FAILED or UNSUPPORTED, and why."""

    name: str
    outcome: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """One measurement.  `mib_per_s` is 0 where no data flows; `ms_each` is the mean of a call."""

    name: str
    count: int
    per_s: float
    mib_per_s: float
    ms_each: float


@dataclass(frozen=True, slots=True)
class Load:
    """What is measured."""

    block_bytes: int = 4 * MIB
    big_bytes: int = 1024 * MIB
    small_bytes: int = 128 * KIB
    small_count: int = 100
    threads: int = 4


def check_store(store: BlobStore, progress: Progress) -> list[CheckResult]:
    """Return what each functional test found.  Raises nothing of the store's."""
    area = PrefixStore(store, f"{PREFIX}/{secrets.token_hex(6)}/")
    found = []
    for done, (name, check) in enumerate(_CHECKS.items()):
        progress(done, len(_CHECKS))
        try:
            check(area)
            found.append(CheckResult(name, PASSED))
        except Unsupported as error:
            found.append(CheckResult(name, UNSUPPORTED, str(error)))
        except RoostError as error:
            found.append(CheckResult(name, FAILED, str(error)))
    _clean(area)
    return found


def measure_store(store: BlobStore, load: Load, progress: Progress) -> list[Pace]:
    """Return how fast the store is, each verb by `load.threads` threads at once.

    Raises the store's errors; what was written is removed all the same, as far as possible.
    """
    area = PrefixStore(store, f"{PREFIX}/{secrets.token_hex(6)}/")
    try:
        return list(_measure(area, load, progress))
    finally:
        _clean(area)


# ---- functional tests
def _demand(holds: bool, why: str) -> None:
    if not holds:
        raise _Wrong(why)


class _Wrong(RoostError):
    """The store answered, and not what it must."""


def _absent(call: Callable[[], object], what: str) -> None:
    try:
        call()
    except BlobNotFound:
        return
    raise _Wrong(f"{what} an object that is not there succeeded")


def _put_and_get(store: BlobStore) -> None:
    data = secrets.token_bytes(5 * KIB)
    store.put("plain", data)
    _demand(store.get("plain") == data, "other bytes were returned than were stored")
    store.put("plain", b"new")
    _demand(store.get("plain") == b"new", "an object was not replaced")


def _ranges(store: BlobStore) -> None:
    store.put("ranges", b"0123456789")
    for offset, size, wanted in ((2, 3, b"234"), (8, 10, b"89"), (0, 1, b"0"), (10, 5, b"")):
        found = store.get_range("ranges", offset, size)
        _demand(found == wanted, f"bytes {offset}+{size} of 0…9 are {found!r}")


def _head(store: BlobStore) -> None:
    store.put("head", b"12345")
    info = store.head("head")
    _demand(info.size_bytes == 5, f"5 bytes are {info.size_bytes}")
    age_s = abs(time.time() - info.mtime_ns / 1e9)
    _demand(age_s < 900, f"the store's clock is {age_s:.0f} s away from ours")


def _empty(store: BlobStore) -> None:
    store.put("empty", b"")
    _demand(store.get("empty") == b"", "an empty object is not empty")


def _missing(store: BlobStore) -> None:
    _absent(lambda: store.get("no"), "getting")
    _absent(lambda: store.head("no"), "looking at")


def _delete(store: BlobStore) -> None:
    store.put("delete", b"x")
    store.delete("delete")
    _absent(lambda: store.get("delete"), "getting")
    store.delete("delete")


def _names(store: BlobStore) -> None:
    for name in ("names/a b", "names/ä€", "names/%25+&?#"):
        store.put(name, name.encode())
        _demand(store.get(name) == name.encode(), f"{name!r} is not what was stored")
        listed = [info.key for info in store.list("names/")]
        _demand(name in listed, f"{name!r} is not listed: {listed}")


def _listing(store: BlobStore) -> None:
    wanted = sorted(f"list/{n // 10}/{n}_0_5" for n in range(25))
    for key in reversed(wanted):
        store.put(key, b"x")
    _demand([info.key for info in store.list("list/")] == wanted, "names are missing or unordered")
    some = [key for key in wanted if key.startswith("list/1/1")]
    _demand([info.key for info in store.list("list/1/1")] == some, "a prefix lists others")


def _only_if_absent(store: BlobStore) -> None:
    store.put_if_absent("once", b"first")
    try:
        store.put_if_absent("once", b"second")
    except BlobExists:
        return
    raise _Wrong("an object was replaced that had to be kept")


def _parallel(store: BlobStore) -> None:
    def put(number: int) -> None:
        store.put(f"parallel/{number}", b"%d" % number)

    with ThreadPoolExecutor(8, "objbench") as pool:
        list(pool.map(put, range(32)))
    found = {bytes(store.get(f"parallel/{number}")) for number in range(32)}
    _demand(len(found) == 32, "objects stored at once are mixed up")


_CHECKS: dict[str, Callable[[BlobStore], None]] = {
    "put, get and replace": _put_and_get,
    "get ranges": _ranges,
    "size and date": _head,
    "an empty object": _empty,
    "what is not there": _missing,
    "delete": _delete,
    "unusual names": _names,
    "list in order": _listing,
    "many at once": _parallel,
    "put only if absent (optional)": _only_if_absent,
}


# ---- measurement
def _measure(store: BlobStore, load: Load, progress: Progress) -> Iterator[Pace]:
    blocks = max(load.big_bytes // load.block_bytes, 1)
    big, small = secrets.token_bytes(load.block_bytes), secrets.token_bytes(load.small_bytes)
    stages: list[tuple[str, int, int, Callable[[int], object]]] = [
        ("put big objects", blocks, load.block_bytes, lambda n: store.put(f"big/{n:08}", big)),
        ("get big objects", blocks, load.block_bytes, lambda n: store.get(f"big/{n:08}")),
    ]
    if load.small_count:
        count, size = load.small_count, load.small_bytes
        stages += [
            ("put small objects", count, size, lambda n: store.put(f"small/{n:08}", small)),
            ("get small objects", count, size, lambda n: store.get(f"small/{n:08}")),
            ("look at objects", count, 0, lambda n: store.head(f"small/{n:08}")),
            ("list objects", _LIST_TIMES, 0, lambda _n: sum(1 for _ in store.list("small/"))),
            ("delete objects", count, 0, lambda n: store.delete(f"small/{n:08}")),
        ]
    total, before = sum(count for _, count, _, _ in stages), 0
    for name, count, size_bytes, call in stages:
        yield _run(name, count, size_bytes, call, load.threads, _onward(progress, before, total))
        before += count
    progress(total, total)


def _onward(progress: Progress, before: int, total: int) -> Callable[[], None]:
    lock = threading.Lock()
    done = before

    def one() -> None:
        nonlocal done
        with lock:
            done += 1
            progress(done, total)

    return one


def _run(
    name: str,
    count: int,
    size_bytes: int,
    call: Callable[[int], object],
    threads: int,
    tell: Callable[[], None],
) -> Pace:
    def timed(number: int) -> float:
        began_s = time.perf_counter()
        call(number)
        took_s = time.perf_counter() - began_s
        tell()
        return took_s

    began_s = time.perf_counter()
    with ThreadPoolExecutor(threads, "objbench") as pool:
        each_s = list(pool.map(timed, range(count)))
    took_s = max(time.perf_counter() - began_s, 1e-9)
    return Pace(
        name=name,
        count=count,
        per_s=count / took_s,
        mib_per_s=count * size_bytes / took_s / MIB,
        ms_each=sum(each_s) / count * 1000,
    )


def _clean(area: BlobStore) -> None:
    """Remove what was written, as far as the store lets us: its own failure is not the news."""
    try:
        for info in list(area.list()):
            area.delete(info.key)
    except RoostError:
        return
