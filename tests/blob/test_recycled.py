"""Memory that is used again: never while anybody can still see it."""

import gc
import os
import signal
import threading
from pathlib import Path

import pytest

from roost.blob import directory
from roost.blob.directory import DirectoryStore
from roost.blob.recycled import WORTH_BYTES, RecycledMemory


def address(view: memoryview) -> int:
    import pyarrow as pa

    place: int = pa.py_buffer(view).address
    return place


def test_memory_comes_again_when_the_last_view_is_gone() -> None:
    memory = RecycledMemory()
    view = memory.take(WORTH_BYTES)
    place, part = address(view), view[10:20].toreadonly()
    del view
    gc.collect()
    other = memory.take(WORTH_BYTES)
    assert address(other) != place  # `part` still shows it
    del part
    gc.collect()
    assert address(memory.take(WORTH_BYTES)) == place


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="there are no huge pages"
)
def test_memory_is_private_and_of_small_pages() -> None:
    view = RecycledMemory().take(16 * WORTH_BYTES)
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        start, dash, rest = line.partition("-")
        if dash and not line[0].isupper():
            end, permissions = rest.split()[:2]
            inside = int(start, 16) <= address(view) < int(end, 16)
            assert not inside or permissions == "rw-p"
        elif inside and line.startswith("VmFlags:"):
            assert "nh" in line.split(), line
            return
    raise AssertionError("the memory is not listed")


def test_an_array_or_a_buffer_over_a_view_keeps_it_too() -> None:
    import numpy as np
    import pyarrow as pa

    memory = RecycledMemory()
    view = memory.take(WORTH_BYTES)
    view[:] = b"a" * WORTH_BYTES
    array, buffer = np.frombuffer(view, np.uint8)[5:9], pa.py_buffer(view).slice(3, 2)
    del view
    gc.collect()
    for _ in range(3):
        memory.take(WORTH_BYTES)[:] = b"b" * WORTH_BYTES
    assert array.tobytes() == b"aaaa"
    assert buffer.to_pybytes() == b"aa"


def test_other_sizes_and_more_than_is_kept_are_new() -> None:
    memory = RecycledMemory(spare_bytes_max=WORTH_BYTES)
    views = [memory.take(WORTH_BYTES) for _ in range(3)]
    places = {address(view) for view in views}
    views.clear()
    assert len(memory.take(2 * WORTH_BYTES)) == 2 * WORTH_BYTES
    again = [memory.take(WORTH_BYTES) for _ in range(3)]
    assert sum(address(view) in places for view in again) >= 1
    assert len(memory._spare) == 0


def test_the_size_that_is_asked_for_now_drives_out_older_ones() -> None:
    memory = RecycledMemory(spare_bytes_max=4 * WORTH_BYTES)
    odd = [memory.take(WORTH_BYTES + number) for number in range(3)]
    odd.clear()
    view = memory.take(2 * WORTH_BYTES)
    place = address(view)
    del view
    gc.collect()
    assert address(memory.take(2 * WORTH_BYTES)) == place


def test_a_forked_child_does_not_wait_for_a_lock_that_was_held(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("large", b"x" * WORTH_BYTES)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with directory._MEMORY._lock:
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(5)
    child = os.fork()
    if not child:
        signal.alarm(10)
        os._exit(0 if store.get("large") == b"x" * WORTH_BYTES else 1)
    status = os.waitpid(child, 0)[1]
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 0


def test_what_many_threads_read_is_what_was_stored(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    contents = {f"{n}": bytes([n]) * (WORTH_BYTES + n % 2) for n in range(8)}
    for key, data in contents.items():
        store.put(key, data)
    wrong: list[str] = []

    def read(offset: int) -> None:
        held = []
        for turn in range(60):
            key = str((turn + offset) % 8)
            held.append((key, store.get(key)))
            if len(held) > 3:
                wrong.extend(k for k, data in held if data != contents[k])
                held = held[turn % 3 :]

    threads = [threading.Thread(target=read, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_returned_cannot_be_changed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("large", b"x" * WORTH_BYTES)
    found = memoryview(store.get("large"))
    assert found.readonly
    with pytest.raises(TypeError):
        found[0] = 1
