"""Replay: in order, complete, idempotent, and never past a seal."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from roost.errors import CorruptRecord, Damage, MissingBlock, Unavailable
from roost.vector.files import DirectoryFiles
from roost.vector.log.reader import (
    LogFloor,
    collect,
    log_end,
    missing_seals,
    read_generation,
    replay,
)
from roost.vector.log.record import LogPosition, Record, RecordKind, encode

File = Sequence[int]
"""The timestamps of the records in a file; each record is a group of its own."""


@pytest.fixture
def files(tmp_path: Path) -> DirectoryFiles:
    return DirectoryFiles(tmp_path)


def raw(generation: int, timestamps: File) -> bytes:
    records = [
        Record(RecordKind.INSERT, generation, ts, 1, 1, pa.py_buffer(b"%d" % ts))
        for ts in timestamps
    ]
    return b"".join(
        bytes(memoryview(piece)) for r in records for piece in encode(r, opens_group=True)
    )


def store(files: DirectoryFiles, generation: int, *contents: File, first: int = 0) -> None:
    for at, timestamps in enumerate(contents):
        file = files.create(f"log/{generation}/{first + at}")
        file.append(raw(generation, timestamps))
        file.sync()
        file.close()


def add(files: DirectoryFiles, path: str, data: bytes) -> None:
    """Append to a file as a deposed writer or a crash would."""
    with files.open_local(path).open("ab") as file:
        file.write(data)


def times(records: Iterator[Record]) -> list[int]:
    return [record.timestamp for record in records]


def test_generations_replay_one_after_the_other(files: DirectoryFiles) -> None:
    store(files, 1, [1, 2], [3])
    store(files, 2, [10, 11])
    seals = {1: LogPosition(1, 64), 2: LogPosition(0, 128)}
    assert times(replay(files, seals, 0)) == [1, 2, 3, 10, 11]


def test_replay_twice_is_the_same(files: DirectoryFiles) -> None:
    store(files, 1, [1, 2], [3])
    seals = missing_seals(files, {}, 2)
    assert list(replay(files, seals, 1)) == list(replay(files, seals, 1))
    assert times(replay(files, seals, 1)) == [2, 3]


def test_what_a_deposed_writer_adds_after_the_seal_never_appears(files: DirectoryFiles) -> None:
    """H1: late records in the sealed file, in a further file, and in one that was empty."""
    store(files, 1, [1, 2])
    seals = missing_seals(files, {}, 2)
    add(files, "log/1/0", raw(1, [3]))
    store(files, 1, [4], first=1)
    assert times(replay(files, seals, 0)) == [1, 2]
    store(files, 2, [10])
    seals |= missing_seals(files, seals, 3)
    assert times(replay(files, seals, 0)) == [1, 2, 10], "nor at the second take-over"


def test_late_files_of_a_generation_sealed_empty_never_appear(files: DirectoryFiles) -> None:
    files.make_folder("log/1", exclusive=True)
    seals = missing_seals(files, {}, 2)
    assert seals == {1: LogPosition(0, 0)}
    store(files, 1, [1])
    assert times(replay(files, seals, 0)) == []


def test_a_torn_tail_is_left_out_of_the_seal(files: DirectoryFiles) -> None:
    store(files, 1, [1], [2])
    path = files.open_local("log/1/1")
    whole = path.read_bytes()
    for cut in range(64):
        path.write_bytes(whole + raw(1, [3])[:cut])
        assert log_end(files, 1) == LogPosition(1, 64)
        assert times(replay(files, missing_seals(files, {}, 2), 0)) == [1, 2]


def test_a_seal_at_the_start_of_a_file_keeps_the_files_before_it(files: DirectoryFiles) -> None:
    """A writer killed right after it made a new file leaves it empty or torn from its start."""
    store(files, 1, [1, 2], [])
    seals = missing_seals(files, {}, 2)
    assert seals == {1: LogPosition(1, 0)}
    assert times(replay(files, seals, 0)) == [1, 2]
    assert collect(files, seals, 2).paths == ("log/1/0", "log/1/1")
    assert collect(files, seals, 1).paths == ()


def test_a_torn_tail_before_the_last_file_is_damage(files: DirectoryFiles) -> None:
    store(files, 1, [1], [5])
    add(files, "log/1/0", raw(1, [3])[:40])
    with pytest.raises(CorruptRecord, match="log/1/0 at offset 64"):
        times(read_generation(files, 1))


def test_a_sealed_file_that_became_shorter_is_damage(files: DirectoryFiles) -> None:
    store(files, 1, [1, 2])
    path = files.open_local("log/1/0")
    content = path.read_bytes()
    for cut in range(128):
        path.write_bytes(content[:cut])
        with pytest.raises(CorruptRecord, match="before its seal"):
            times(replay(files, {1: LogPosition(0, 128)}, 0))


def test_missing_files_are_damage_wherever_they_are(files: DirectoryFiles) -> None:
    store(files, 1, [1], [2], [3])
    seals = {1: LogPosition(2, 64)}
    for number in range(3):
        content = files.read(f"log/1/{number}")
        files.delete(f"log/1/{number}")
        with pytest.raises(MissingBlock, match=f"log/1/{number}"):
            times(replay(files, seals, 0))
        files.write(f"log/1/{number}", [content])
    assert times(replay(files, seals, 0)) == [1, 2, 3]


def test_a_missing_generation_is_damage(files: DirectoryFiles) -> None:
    store(files, 1, [1])
    store(files, 2, [2])
    seals = {1: LogPosition(0, 64), 2: LogPosition(0, 64)}
    files.delete_folder("log/1")
    with pytest.raises(MissingBlock):
        times(replay(files, seals, 0))
    assert times(replay(files, seals, 0, LogFloor(2, 0))) == [2]


def test_a_generation_that_is_not_sealed_yet_stops_the_reading_of_later_ones(
    files: DirectoryFiles,
) -> None:
    store(files, 1, [1])
    store(files, 2, [2])
    with pytest.raises(Unavailable, match="generation 1"):
        times(replay(files, {2: LogPosition(0, 64)}, 0))
    with pytest.raises(Unavailable, match="generation 1"):
        times(replay(files, {}, 0, open_generation=2))


def test_the_open_generation_is_read_last_up_to_its_present_end(files: DirectoryFiles) -> None:
    store(files, 1, [1])
    store(files, 2, [2, 3])
    add(files, "log/2/0", raw(2, [4])[:50])
    seals = {1: LogPosition(0, 64)}
    assert times(replay(files, seals, 0)) == [1]
    assert times(replay(files, seals, 0, open_generation=2)) == [1, 2, 3]


def test_an_open_generation_that_was_sealed_meanwhile_is_read_to_its_seal(
    files: DirectoryFiles,
) -> None:
    store(files, 1, [1, 2])
    assert times(replay(files, {1: LogPosition(0, 64)}, 0, open_generation=1)) == [1]
    store(files, 2, [5])
    seals = {1: LogPosition(0, 64), 2: LogPosition(0, 64)}
    with pytest.raises(Unavailable, match="not the last"):
        times(replay(files, seals, 0, open_generation=1))


@pytest.mark.parametrize("after_ts", range(14))
def test_files_are_skipped_only_when_nothing_in_them_is_wanted(
    files: DirectoryFiles, after_ts: int
) -> None:
    store(files, 1, [1, 2], [3, 4], [7, 8])
    store(files, 2, [10], [11, 12])
    seals = missing_seals(files, {}, 3)
    wanted = [ts for ts in (1, 2, 3, 4, 7, 8, 10, 11, 12) if ts > after_ts]
    assert times(replay(files, seals, after_ts)) == wanted


def test_skipped_files_are_not_read_in_full(files: DirectoryFiles) -> None:
    store(files, 1, [1, 2], [3, 4], [5])
    damaged = files.open_local("log/1/0")
    damaged.write_bytes(b"?" * 128)
    seals = {1: LogPosition(2, 64)}
    assert times(replay(files, seals, 2)) == [3, 4, 5]
    with pytest.raises(Damage):
        times(replay(files, seals, 1))


def test_a_damaged_first_record_does_not_make_its_predecessor_skipped(
    files: DirectoryFiles,
) -> None:
    store(files, 1, [5, 6], [7, 8])
    path = files.open_local("log/1/1")
    content = bytearray(path.read_bytes())
    content[24] = 1  # its timestamp now claims to be early
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptRecord, match="log/1/1 at offset 0"):
        assert times(replay(files, {1: LogPosition(1, 128)}, 4)) == []


def test_a_record_of_another_generation_is_damage(files: DirectoryFiles) -> None:
    file = files.create("log/2/0")
    file.append(raw(1, [1]))
    with pytest.raises(CorruptRecord, match="log/2/0 at offset 0"):
        times(read_generation(files, 2))


def test_timestamps_that_fall_between_files_or_generations_are_damage(
    files: DirectoryFiles,
) -> None:
    store(files, 1, [5], [4])
    with pytest.raises(CorruptRecord, match="log/1/1"):
        times(read_generation(files, 1))
    store(files, 2, [3])
    with pytest.raises(CorruptRecord, match="older generation"):
        times(replay(files, {1: LogPosition(0, 64), 2: LogPosition(0, 64)}, 0))


def test_a_catalog_older_than_the_log_is_refused(files: DirectoryFiles) -> None:
    """H9: restored from an older dump, it would hand out a generation a second time."""
    store(files, 4, [1])
    with pytest.raises(CorruptRecord, match="older than the log"):
        missing_seals(files, {}, 4)
    assert set(missing_seals(files, {}, 5)) == {1, 2, 3, 4}


def test_every_older_generation_gets_a_seal_once(files: DirectoryFiles) -> None:
    store(files, 2, [1])
    first = missing_seals(files, {}, 4)
    assert first == {1: LogPosition(0, 0), 2: LogPosition(0, 64), 3: LogPosition(0, 0)}
    assert missing_seals(files, first, 5) == {4: LogPosition(0, 0)}
    assert missing_seals(files, {}, 4, LogFloor(3, 0)) == {3: LogPosition(0, 0)}


def test_names_that_are_no_numbers_are_not_part_of_the_log(files: DirectoryFiles) -> None:
    store(files, 1, [1])
    files.write("log/1/notes.txt", [b"left by a person"])
    assert times(read_generation(files, 1)) == [1]


@pytest.mark.parametrize("complete_to", range(16))
def test_collected_are_exactly_the_files_at_or_below_the_lowest_time(
    files: DirectoryFiles, complete_to: int
) -> None:
    contents = {"log/1/0": [1, 2], "log/1/1": [3, 4], "log/2/0": [7], "log/4/0": [9, 10]}
    store(files, 1, [1, 2], [3, 4])
    store(files, 2, [7])
    store(files, 4, [9, 10], [12])
    seals = missing_seals(files, {}, 4 + 1)
    del seals[4]
    garbage = collect(files, seals, complete_to, open_generation=4)
    assert list(garbage.paths) == [p for p, ts in contents.items() if ts[-1] <= complete_to]
    for path in garbage.paths:
        files.delete(path)
    left = [ts for ts in (1, 2, 3, 4, 7, 9, 10, 12) if ts > complete_to]
    assert times(replay(files, seals, complete_to, garbage.floor, open_generation=4)) == left


def test_the_last_file_of_the_open_generation_is_never_collected(files: DirectoryFiles) -> None:
    store(files, 1, [1], [2])
    garbage = collect(files, {}, 100, open_generation=1)
    assert garbage.paths == ("log/1/0",)
    assert garbage.floor == LogFloor(1, 1)


def test_what_lies_behind_a_seal_is_collected_with_its_generation(files: DirectoryFiles) -> None:
    store(files, 1, [1])
    seals = missing_seals(files, {}, 2)
    store(files, 1, [99], first=1)
    garbage = collect(files, seals, 1)
    assert garbage.paths == ("log/1/0", "log/1/1")
    assert garbage.floor == LogFloor(2, 0)


def test_a_damaged_file_is_not_collected(files: DirectoryFiles) -> None:
    store(files, 1, [1, 2])
    path = files.open_local("log/1/0")
    path.write_bytes(path.read_bytes()[:100] + b"!" + path.read_bytes()[101:])
    with pytest.raises(CorruptRecord):
        collect(files, {1: LogPosition(0, 128)}, 100)


def test_the_seal_counts_only_what_is_settled(tmp_path: Path) -> None:
    """A killed writer's bytes may be in the page cache alone; the take-over syncs them first."""
    settled: list[str] = []

    class Noting(DirectoryFiles):
        def settle(self, path: str) -> None:
            settled.append(path)
            super().settle(path)

    files = Noting(tmp_path)
    store(files, 1, [1], [2])
    log_end(files, 1)
    assert settled == ["log/1/1"]
