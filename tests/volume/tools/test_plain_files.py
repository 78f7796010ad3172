"""The short way of plain files takes what the long way takes, as the same records, and no more."""

import io
import json
import re
from dataclasses import replace

import pytest

from roost.clock import SystemClock
from roost.errors import CorruptRecord
from roost.volume.meta.opening import drop_memory_volume, open_engine
from roost.volume.meta.scan_pages import chunk_pages
from roost.volume.model import TRASH
from roost.volume.settings import encode_settings, new_settings
from roost.volume.tools import load_tree, plain_files
from roost.volume.tools.load import load

NOTHING = re.compile(r"(?!)")
EDGES = [0, 1, 2, 4095, 0o7777, 0o10000, 999_999_999, 1_000_000_000, (1 << 32) - 1, 1 << 32]
ODD = [
    *EDGES,
    1 << 26,
    (1 << 26) + 1,
    1 << 40,
    (1 << 40) + 1,
    (1 << 57) + 1,
    1 << 63,
    TRASH,
    -1,
    -(1 << 40) - 1,
]
NAMES = ["a", ".", "..", "a/b", "%41", "%zz", "ä☃", "x" * 255, "x" * 256, "ä" * 128, "a b", "a\n"]
FIELDS = (
    "inode", "mode", "uid", "gid", "atime", "mtime", "ctime", "atimensec", "mtimensec", "ctimensec",
    "nlink", "length", "id", "size", "len",
)  # fmt: skip


def entry(number: int, **odd: int | None) -> dict[str, object]:
    """Return a file with one slice; `odd` numbers replace others, None leaves them out."""
    attr: dict[str, object] = {
        "inode": number, "type": "regular", "mode": 420, "uid": 1000, "gid": 5, "atime": 10,
        "mtime": -7, "ctime": 9, "atimensec": 5, "mtimensec": 6, "ctimensec": 7, "nlink": 1,
        "length": 100,
    }  # fmt: skip
    one: dict[str, object] = {"id": number, "size": 100, "len": 100}
    for name, value in odd.items():
        (one if name in one else attr)[name] = value
    attr = {name: value for name, value in attr.items() if value is not None}
    made: dict[str, object] = {"attr": attr}
    if one["id"] is not None:
        made["chunks"] = [{"index": 0, "slices": [one]}]
    return made


def spelled(files: list[tuple[str, object]]) -> bytes:
    """Return a dump, spelled as Roost does; names may stand twice."""
    settings = new_settings("plain", bucket="/b", trash_days=0)
    setting = encode_settings(replace(settings, user_group_quota=True))
    top = json.dumps({"inode": 1, "type": "directory", "mode": 511, "uid": 0, "gid": 0, "atime": 1,
                      "mtime": 1, "ctime": 1, "nlink": 2, "length": 0})  # fmt: skip
    lines = ",\n  ".join(
        f'{json.dumps(name, ensure_ascii=False)}: {{\n"attr": '
        + json.dumps(file["attr"], separators=(",", ":"))  # type: ignore[index]
        + (
            f',\n"chunks": {json.dumps(file["chunks"], separators=(",", ":"))}'  # type: ignore[index]
            if "chunks" in file  # type: ignore[operator]
            else ""
        )
        + "\n}"
        for name, file in files
    )
    return f'{{"Setting": {setting}, "FSTree": {{"attr": {top}, "entries": {{{lines}}}}}}}'.encode()


def loaded(raw: bytes) -> object:
    """Return all that a load stored, or what it said was wrong."""
    drop_memory_volume("plain")
    try:
        load("memory://plain", io.BytesIO(raw))
    except CorruptRecord as error:
        return str(error).partition(": ")[2]
    engine = open_engine("memory://plain", SystemClock(), read_only=True)
    with engine.scan() as scans:
        return [
            list(scans.all_nodes()), list(scans.all_edges()), list(scans.all_slice_refs()),
            [page.tolist() for page in chunk_pages(scans)], list(scans.all_dir_usage()),
            scans.quotas(),
            [scans.counter(name) for name in ("nextInode", "nextChunk", "usedSpace")],
        ]  # fmt: skip


def same_both_ways(files: list[tuple[str, object]]) -> None:
    raw = spelled(files)
    short = loaded(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_tree, "PLAIN", NOTHING)
        assert loaded(raw) == short, files


@pytest.mark.parametrize("field", FIELDS)
def test_an_odd_number_is_taken_or_refused_both_ways(field: str) -> None:
    for number in (None, 2, 3, *ODD):  # 2 is the inode and the slice of the first
        odd = entry(4, **{field: number})
        same_both_ways([("a", entry(2)), ("b", entry(3)), ("c", odd), ("d", entry(5))])


@pytest.mark.parametrize("ino", [1 << 63, (1 << 64) - 1, 1 << 64, 1 << 70])
def test_an_inode_that_no_counter_reaches_is_refused_by_its_name(ino: int) -> None:
    said = loaded(spelled([("a", entry(2)), ("far", entry(ino)), ("z", entry(3))]))
    assert said == f"inode is {ino}"
    with pytest.raises(CorruptRecord, match="entry 'far'"):
        load("memory://plain", io.BytesIO(spelled([("a", entry(2)), ("far", entry(ino))])))


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_name_is_taken_or_refused_both_ways(name: str) -> None:
    same_both_ways([("!", entry(2)), (name, entry(4)), ("~", entry(5))])


def test_a_slice_longer_than_a_chunk_is_refused_both_ways() -> None:
    for shown in (1 << 26, (1 << 26) + 1):
        odd = entry(3, length=1 << 27, size=1 << 28, len=shown)
        same_both_ways([("a", entry(2)), ("b", odd)])


def test_files_that_share_a_slice_are_counted_both_ways() -> None:
    same_both_ways([(f"{n}", entry(n, id=2 + n % 3)) for n in range(2, 20)])


def test_owners_are_counted_both_ways() -> None:
    same_both_ways([(f"{n}", entry(n, uid=n % 3, length=5000 * n)) for n in range(2, 9)])


def test_what_a_dump_has_most_of_goes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[tuple[str, object]] = [(f"{n + 10_000}", entry(n + 2)) for n in range(2000)]
    taken = 0

    def counted(*arguments: object) -> object:
        nonlocal taken
        made = plain_files.plain_files(*arguments)  # type: ignore[arg-type]
        taken += 0 if made is None else len(made.stored)
        return made

    monkeypatch.setattr(load_tree, "plain_files", counted)
    stored = loaded(spelled(files))
    assert taken == 1999  # all but the first, which stands behind no other
    assert len(stored[0]) == 2001  # type: ignore[index]
    assert len(stored[3][0]) == 2000  # type: ignore[index]
