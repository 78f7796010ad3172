"""What every `Files` must do.  Subclass `FilesSuite` and give it `files` and `reader` fixtures.

`reader` is another `Files` on the same place, as another member of the cluster has it.
"""

import mmap
import threading
from pathlib import Path

import pytest

from roost.errors import AlreadyExists, NotFound
from roost.vector.files import Files


class FilesSuite:
    """Conformance of a `Files`."""

    def test_a_log_is_seen_by_others_once_synced(self, files: Files, reader: Files) -> None:
        log = files.create("log/1/0")
        log.append(b"one")
        log.append(memoryview(b"-two-")[1:4])
        log.sync()
        assert log.size_bytes == 6
        assert reader.read("log/1/0") == b"onetwo"
        assert reader.size("log/1/0") == 6
        log.append(b"three")
        log.sync()
        assert reader.read("log/1/0", 3) == b"twothree"
        assert reader.read("log/1/0", 3, 3) == b"two"
        assert reader.read("log/1/0", 11) == b""
        assert reader.read("log/1/0", 100, 5) == b""
        log.close()
        assert files.read("log/1/0") == b"onetwothree"

    def test_a_log_keeps_many_synced_appends_in_order(self, files: Files, reader: Files) -> None:
        log = files.create("log")
        wanted = b""
        for n in range(40):
            record = bytes([n]) * (n * 37 % 500 + 1)
            log.append(record)
            wanted += record
            if n % 3 == 0:
                log.sync()
                assert reader.read("log") == wanted
        log.sync()
        log.close()
        assert reader.read("log") == wanted

    def test_create_refuses_a_name_that_is_taken(self, files: Files) -> None:
        files.create("a/log").close()
        with pytest.raises(AlreadyExists):
            files.create("a/log")
        files.write("whole", [b"x"])
        with pytest.raises(AlreadyExists):
            files.create("whole")

    def test_a_whole_file_appears_complete(self, files: Files, reader: Files) -> None:
        assert files.write("a/b/whole", [b"one", memoryview(b"two"), bytearray(b"three")]) == 11
        assert reader.read("a/b/whole") == b"onetwothree"
        assert reader.size("a/b/whole") == 11
        assert files.write("a/b/empty", []) == 0
        assert reader.read("a/b/empty") == b""
        assert reader.list("a/b") == ["empty", "whole"]

    def test_a_write_that_fails_half_way_shows_nothing(self, files: Files, reader: Files) -> None:
        def pieces() -> "list[bytes]":
            raise RuntimeError("told to fail")

        with pytest.raises(RuntimeError):
            files.write("a/whole", (piece for _ in range(1) for piece in pieces()))
        assert reader.list("a") == []
        with pytest.raises(NotFound):
            reader.read("a/whole")

    def test_write_replaces_in_one_step(self, files: Files, reader: Files) -> None:
        files.write("whole", [b"old and long"])
        files.write("whole", [b"new"])
        assert reader.read("whole") == b"new"

    def test_an_adopted_file_is_everybodys(self, files: Files, reader: Files) -> None:
        local = files.scratch() / "segment"
        local.write_bytes(b"0123456789" * 1000)
        assert files.adopt(local, "segments/1/vectors") == 10_000
        assert reader.read("segments/1/vectors", 9_995) == b"56789"
        assert files.open_local("segments/1/vectors").read_bytes() == b"0123456789" * 1000
        assert reader.open_local("segments/1/vectors").read_bytes() == b"0123456789" * 1000

    def test_a_local_path_can_be_mapped_and_stays_mapped(self, files: Files, reader: Files) -> None:
        files.write("segment", [b"0123456789" * 1000])
        path = reader.open_local("segment")
        assert reader.open_local("segment") == path, "the second call is cheap"
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            files.delete("segment")
            assert view[:] == b"0123456789" * 1000

    def test_an_empty_file_has_a_local_path_too(self, files: Files) -> None:
        files.write("empty", [])
        assert files.open_local("empty").read_bytes() == b""

    def test_what_is_not_there_is_not_found(self, files: Files) -> None:
        files.write("file", [b"x"])
        for path in ("no", "no/where"):
            with pytest.raises(NotFound):
                files.read(path)
            with pytest.raises(NotFound):
                files.size(path)
            with pytest.raises(NotFound):
                files.open_local(path)
            files.delete(path)
        assert files.list("no/where") == []
        files.delete_folder("no/where")

    def test_list_is_sorted_and_hides_what_is_not_finished(self, files: Files) -> None:
        for name in ("b", "a.x", "a", "Z"):
            files.write(f"f/{name}", [b"x"])
        files.make_folder("f/sub")
        assert files.list("f") == sorted(["b", "a.x", "a", "Z", "sub"])

    def test_a_folder_can_be_claimed_once(self, files: Files, reader: Files) -> None:
        files.make_folder("log/7", exclusive=True)
        with pytest.raises(AlreadyExists):
            files.make_folder("log/7", exclusive=True)
        files.make_folder("log/7")
        assert reader.list("log") == ["7"]

    def test_of_many_claims_one_wins(self, files: Files) -> None:
        won: list[int] = []

        def claim(n: int) -> None:
            try:
                files.make_folder("log/8", exclusive=True)
            except AlreadyExists:
                return
            won.append(n)

        threads = [threading.Thread(target=claim, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1

    def test_delete_removes_at_once(self, files: Files, reader: Files) -> None:
        files.write("a/b/c", [b"x"])
        files.write("a/d", [b"x"])
        files.delete("a/d")
        assert reader.list("a") == ["b"]
        files.delete_folder("a")
        assert reader.list("") == []

    def test_scratch_is_one_local_folder(self, files: Files) -> None:
        assert files.scratch().is_dir()
        assert files.scratch() == files.scratch()
        assert isinstance(files.scratch(), Path)
