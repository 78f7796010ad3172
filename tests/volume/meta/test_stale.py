"""Files open here whose inode number may be another's by now."""

import errno

import pytest

from roost.volume.errors import FsError
from roost.volume.meta.open_files import OpenFiles
from roost.volume.model import Ino


def test_what_is_open_in_the_range_is_stale_until_all_have_closed_it() -> None:
    files = OpenFiles()
    for ino in (4, 5, 5, 6):
        files.opened(Ino(ino))
    files.doubt(5, 6)
    for ask in (files.demand_held, files.opened):
        with pytest.raises(FsError) as refusal:
            ask(Ino(5))
        assert refusal.value.errno == errno.ESTALE
    files.demand_held(Ino(4))
    files.demand_held(Ino(6))
    files.closed(Ino(5))
    with pytest.raises(FsError):
        files.demand_held(Ino(5))
    files.closed(Ino(5))
    files.opened(Ino(5))
    files.demand_held(Ino(5))


def test_the_data_of_a_stale_file_is_not_removed_by_who_kept_it() -> None:
    files = OpenFiles()
    for ino in (5, 6):
        files.opened_nameless(Ino(ino))
    files.doubt(5, 6)
    assert not files.closed(Ino(5))
    assert files.closed(Ino(6))
    files.opened(Ino(5))
    assert not files.closed(Ino(5)), "it is nobody's to keep any more"
