"""stats and profile: what the official mount tells, and what our own client and processes tell."""

import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from prometheus_client import generate_latest
from typer.testing import CliRunner

from roost.bench import juicefs
from roost.bench.juicefs import Juicefs
from roost.cli.main import app
from roost.cli.stats import SECTIONS, Column
from roost.telemetry.access_log import AccessLog, Wanted, parse_line, profiles
from roost.testing.servers import require
from roost.testing.volumes import make_test_volume
from roost.volume.access_log import log_operations
from roost.volume.errors import FsError

LOG = """\
#
2026.11.23 03:27:54.000000 [uid:0,gid:0,pid:1] lookup (1,x): - no such file or directory <0.000200>
2026.11.23 03:27:54.500000 [uid:7,gid:0,pid:2] create (1,a) b,-rw): (22) - OK <0.001000>
broken line
2026.11.23 03:27:55.000000 [uid:0,gid:0,pid:2] lookup (1,x): - OK <0.000400>
2026.11.23 03:27:59.900000 [uid:0,gid:9,pid:1] write (22,3,0,62) - OK <0.010000>
"""


def roost(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def done(*arguments: str) -> str:
    result = roost(*arguments)
    assert result.exit_code == 0, f"{arguments}: {result.output}"
    return result.stdout


def test_a_log_is_added_up_by_operation_the_longest_first(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    (shown,) = json.loads(done("profile", str(tmp_path / "log"), "--json"))
    found = [(one["operation"], one["count"], one["average_us"]) for one in shown["operations"]]
    assert found == [("write", 1, 10_000), ("create", 1, 1000), ("lookup", 2, 300)]
    table = done("profile", str(tmp_path / "log"))
    assert table.index("write") < table.index("create") < table.index("lookup")


def test_users_groups_and_processes_can_be_singled_out(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    for options, expected in (
        (["-u", "7"], {"create"}),
        (["-g", "9"], {"write"}),
        (["-p", "1"], {"lookup", "write"}),
        (["-u", "0,7", "-p", "2"], {"create", "lookup"}),
    ):
        (shown,) = json.loads(done("profile", str(tmp_path / "log"), "--json", *options))
        assert {one["operation"] for one in shown["operations"]} == expected, options


def test_intervals_go_by_the_clock_of_the_log() -> None:
    found = list(profiles(LOG.splitlines(), Wanted(), 1.0))
    assert [one.counts for _, one in found] == [
        {"lookup": 1, "create": 1},
        {"lookup": 1},
        {"write": 1},
    ]
    starts = [at for at, _ in found]
    assert starts[1] - starts[0] == pytest.approx(1.0)


def test_a_client_in_process_writes_a_log_that_is_understood(tmp_path: Path) -> None:
    volume = make_test_volume(tmp_path / "volume")
    path = tmp_path / "access.log"
    with volume.open() as client, AccessLog(path) as log:
        log_operations(client, log)
        client.mkdir("/a\nfolder")
        with client.open_file("/file", "w") as file:
            file.pwrite(0, b"hello")
        with pytest.raises(FsError):
            client.rmdir("/none")
    lines = path.read_text().splitlines()
    seen = [parse_line(line) for line in lines]
    assert all(seen), lines
    operations = [one.operation for one in seen if one is not None]
    assert operations == ["mkdir", "open", "write", "release", "rmdir"]
    assert lines[-1].partition(" - ")[2].startswith("no such file or directory <")
    assert "(0,5)" in lines[2]
    (shown,) = json.loads(done("profile", str(path), "--json"))
    assert len(shown["operations"]) == 5
    volume.finish()


def test_the_official_mount_is_watched(tmp_path: Path) -> None:
    require(juicefs.missing())
    volume = make_test_volume(tmp_path / "volume")
    with Juicefs(tmp_path / "juicefs").mounted(volume.meta_url) as mount, busy(mount.point):
        line = json.loads(done("stats", str(mount.point), "--interval", "0.5", "-c", "1", "--json"))
        assert line["fuse"]["ops/s"] > 0
        assert line["meta"]["ms"] > 0
        assert line["usage"]["mem"] > 1 << 20
        text = done("stats", str(mount.point / "."), "--interval", "0.1", "-c", "2", "-l", "1")
        assert len(text.splitlines()) == 4
        assert "txn ms" in text
        once = ("--interval", "0.1", "-c", "1")
        line = json.loads(done("stats", str(mount.point), "--schema", "tg", *once, "--json"))
        assert line["go"]["alloc"] > 1 << 20
        assert line["go"]["sys"] > line["go"]["alloc"]
        text = done("stats", str(mount.point), "--schema", "tu", *once)
        assert re.fullmatch(r"\d\d:\d\d:\d\d .*", text.splitlines()[-1])
        (shown,) = json.loads(
            done("profile", str(mount.point), "--interval", "0.5", "-c", "1", "--json")
        )
        assert {"create", "unlink"} <= {one["operation"] for one in shown["operations"]}


def test_the_files_of_an_official_mount_count_for_nothing(tmp_path: Path) -> None:
    require(juicefs.missing())
    volume = make_test_volume(tmp_path / "volume")
    with Juicefs(tmp_path / "juicefs").mounted(volume.meta_url) as mount:
        (mount.point / "d").mkdir()
        (mount.point / "d" / "f").write_bytes(b"x" * 10)
        (mount.point / ".config-of-mine").write_bytes(b"")
        program = CliRunner()

        def counted(*arguments: str) -> dict[str, Any]:
            ran = program.invoke(app, [*arguments, "--json", str(mount.point)])
            assert ran.exit_code == 0, ran.output
            found = json.loads(ran.stdout)
            return found[0] if isinstance(found, list) else found

        assert [counted("info", "-r")[key] for key in ("files", "dirs", "length")] == [2, 2, 10]
        assert [counted("info")[key] for key in ("files", "dirs")] == [1, 2]
        top = counted("summary")
        assert (top["files"], top["dirs"]) == (2, 2)
        assert {one["name"] for one in top["children"]} == {"d", ".config-of-mine"}
        below = program.invoke(app, ["info", str(mount.point / "d" / "f")]).stdout
        assert "   path: /d/f\n" in below
    volume.finish()


@contextmanager
def busy(folder: Path) -> Iterator[None]:
    """Create and remove files meanwhile."""
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            (folder / "file").write_bytes(b"x")
            (folder / "file").unlink()
            time.sleep(0.005)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stopped.set()
        worker.join()


def test_a_process_is_watched_by_its_metrics() -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(generate_latest())

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        line = json.loads(done("stats", url, "--interval", "0.1", "-c", "1", "--json"))
        server.shutdown()
    assert set(line["object"]) == {"get/s", "put/s"}
    assert line["usage"]["mem"] > 1 << 20
    assert "fuse" not in line


def test_the_metadata_tells_growth_without_any_client(tmp_path: Path) -> None:
    volume = make_test_volume(tmp_path / "volume")
    with volume.open() as client:
        client.write("/a", b"x")
        line = json.loads(done("stats", volume.meta_url, "--interval", "0.1", "-c", "1", "--json"))
    assert line["volume"]["inodes"] == 1
    assert line["volume"]["sessions"] == 1
    volume.finish()


def test_rates_are_per_second_and_averages_per_operation() -> None:
    rate = Column("ops", "rate", ("n",))
    average = Column("ms", "average", ("t_sum",), ("n",))
    before, after = {"n": 10.0, "t_sum": 1.0}, {"n": 30.0, "t_sum": 1.5}
    assert rate.value(before, after, 2.0) == 10.0
    assert average.value(before, after, 2.0) == 25.0
    assert average.value(after, after, 2.0) == 0.0
    assert Column("x", "gauge", ("absent",)).value(before, after, 2.0) is None
    assert len({section.letter for section in SECTIONS}) == len(SECTIONS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stats", "/proc"], "not on a mount"),
        (["stats", "/proc", "--schema", "z"], "unknown sections"),
        (["stats", "http://127.0.0.1:1"], "does not answer"),
        (["profile", "/proc"], "no mount with an access log"),
        (["profile", "/no/such/log"], "No such file"),
        (["profile", "/proc/self/status", "-u", "root"], "not numbers"),
    ],
)
def test_what_cannot_be_watched_is_one_line_and_a_code(arguments: list[str], words: str) -> None:
    refused = roost(*arguments)
    assert refused.exit_code in (2, 3)
    assert words in refused.stderr


@pytest.mark.parametrize("command", ["stats", "profile"])
def test_help_has_an_example(command: str) -> None:
    assert f"roost {command}" in done(command, "--help")
