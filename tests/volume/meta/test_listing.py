import errno

import pytest

from roost.volume.errors import FsError
from roost.volume.meta import listing
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT


def test_listings_longer_than_a_page_are_complete_and_in_order(
    meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "ENTRIES_AT_ONCE", 7)
    names = sorted(b"n%02d" % number for number in range(28))  # four full pages
    inos = {name: meta.create(ROOT, name).ino for name in names}
    entries = list(meta.readdir(ROOT, with_attrs=True))
    assert [entry.name for entry in entries] == names
    assert {entry.name: entry.ino for entry in entries} == inos
    assert all(entry.attr == meta.getattr(entry.ino) for entry in entries)


def test_removing_while_listing_neither_repeats_nor_skips_others(
    meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "ENTRIES_AT_ONCE", 3)
    names = [b"n%02d" % number for number in range(10)]
    for name in names:
        meta.create(ROOT, name)
    seen = []
    for entry in meta.readdir(ROOT):
        seen.append(entry.name)
        meta.unlink(ROOT, entry.name)
    assert seen == names
    assert list(meta.readdir(ROOT)) == []


def test_a_file_cannot_be_listed(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    with pytest.raises(FsError) as refusal:
        meta.readdir(file)
    assert refusal.value.errno == errno.ENOTDIR
