import errno
from dataclasses import replace

import pytest

from roost.errors import InvalidArgument, NewerFormat, Unsupported
from roost.volume.errors import AlreadyFormatted, FsError, NotFormatted
from roost.volume.meta.api import format_volume, open_meta
from roost.volume.meta.opening import split_url
from roost.volume.model import ROOT, TRASH, QuotaKind
from roost.volume.settings import new_settings

PLAIN = new_settings("opening", bucket="/b")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite3:///data/meta.db", "/data/meta.db"),
        ("sqlite3://meta.db", "meta.db"),
        ("sqlite3://meta.db?_timeout=5000", "meta.db"),
        ("memory://x", "x"),
    ],
)
def test_urls_are_spelled_as_juicefs_does(url: str, place: str) -> None:
    assert split_url(url)[1] == place


@pytest.mark.parametrize("url", ["", "sqlite3://", "redis://", "mysql://host", "sqlite:///x"])
def test_other_urls_are_refused_with_a_hint(url: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        open_meta(url)
    assert "sqlite3://" in refusal.value.hint


def test_a_new_volume_has_a_root_and_if_it_wants_a_trash(meta_url: str) -> None:
    format_volume(meta_url, PLAIN)
    with open_meta(meta_url) as meta:
        assert meta.settings == PLAIN
        root, trash = meta.getattr(ROOT), meta.getattr(TRASH)
        assert (root.mode, root.nlink, root.parent) == (0o777, 2, ROOT)
        assert (trash.mode, trash.nlink, trash.parent) == (0o555, 2, ROOT)
        assert (meta.statfs().used_bytes, meta.statfs().used_inodes) == (0, 0)
        assert meta.durability
    with pytest.raises(AlreadyFormatted):
        format_volume(meta_url, PLAIN)


def test_nothing_opens_before_it_is_made(meta_url: str) -> None:
    with pytest.raises(NotFormatted):
        open_meta(meta_url)


def test_a_missing_folder_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    missing = tmp_path_factory.mktemp("x") / "no" / "meta.db"
    with pytest.raises(InvalidArgument, match="no directory"):
        format_volume(f"sqlite3://{missing}", PLAIN)


def test_a_read_only_volume_refuses_every_change(meta_url: str) -> None:
    format_volume(meta_url, PLAIN)
    with open_meta(meta_url) as writer:
        writer.create(ROOT, b"f")
        with open_meta(meta_url, read_only=True) as reader:
            assert reader.is_read_only
            assert reader.sid == 0
            file = reader.lookup(ROOT, b"f").ino
            for attempt in (
                lambda: reader.create(ROOT, b"g"),
                lambda: reader.unlink(ROOT, b"f"),
                lambda: reader.truncate(file, 5),
                reader.new_slice_id,
                reader.clean_trash,
            ):
                with pytest.raises(FsError) as refusal:
                    attempt()
                assert refusal.value.errno == 30
            reader.open(file)
            assert reader.close_file(file) is None
        assert len(writer.sessions()) == 1


def test_volumes_with_what_is_not_maintained_open_read_only(meta_url: str) -> None:
    format_volume(meta_url, replace(PLAIN, change_log=True))
    with pytest.raises(Unsupported):
        open_meta(meta_url)
    with open_meta(meta_url, read_only=True) as meta:
        assert meta.getattr(ROOT).is_directory


def test_quotas_that_another_client_set_are_known_when_the_volume_opens(meta_url: str) -> None:
    format_volume(meta_url, PLAIN)
    with open_meta(meta_url) as other:
        other.quota_set(QuotaKind.DIRECTORY, ROOT, inodes_max=1)
    with open_meta(meta_url) as meta:
        meta.create(ROOT, b"first")
        with pytest.raises(FsError) as refusal:
            meta.create(ROOT, b"second")
        assert refusal.value.errno == errno.EDQUOT


def test_a_volume_of_a_newer_version_is_refused_by_number(meta_url: str) -> None:
    format_volume(meta_url, replace(PLAIN, meta_version=2))
    with pytest.raises(NewerFormat, match="2"):
        open_meta(meta_url, read_only=True)
