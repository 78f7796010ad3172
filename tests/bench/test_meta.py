"""`roost bench meta`, tiny: every row of every side is there, the peer's words are understood."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from roost.bench import juicefs
from roost.bench.meta import HOW, SERIAL, MetaBench, measure
from roost.bench.meta_worker import Job
from roost.bench.places import SETTINGS, Places, chosen
from roost.bench.processes import WorkerProcess
from roost.cli.main import app
from roost.errors import InvalidArgument, Unavailable
from roost.testing.servers import RedisServer, require
from roost.volume.formatting import NewVolume, make_volume
from roost.volume.meta.api import open_meta
from roost.volume.model import ROOT


def quiet(_: str) -> None:
    """Tell nobody."""


def test_sqlite_beside_the_mounted_peer_has_every_row_on_both_sides(tmp_path: Path) -> None:
    require(juicefs.missing())
    target, picture = tmp_path / "meta.json", tmp_path / "meta.png"
    words = ["bench", "meta", "--peer", "juicefs", "--setting", "sqlite", "--rounds", "1"]
    words += ["--operations", "16", "--json", str(target), "--plot", str(picture)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    written = json.loads(target.read_text())
    rows = {row["name"]: row for row in written["rows"]}
    assert set(rows) == set(HOW)
    for row in rows.values():
        assert row["setting"] == "sqlite"
        assert set(row["values"]) == {"roost", "juicefs"}
        assert all(value > 0 for value in row["values"].values())
    assert rows["unlink"]["how"] == "juicefs through its mount"
    assert written["notes"] == ["sqlite: journal_mode=WAL, synchronous=FULL on both sides"]
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_round_trips_of_the_peer_are_counted_at_a_distance() -> None:
    require(juicefs.missing() or RedisServer.missing())
    bench = MetaBench(("juicefs",), ("redis rtt=0.5",), rounds=1, operations=16)
    rows = {row.name: row for row in measure(bench, quiet).rows}
    for operation in SERIAL:
        trips = rows[f"{operation} round trips"].values
        assert 3 <= trips["juicefs"] <= 12, (operation, trips)
        assert trips["roost"] <= 2, (operation, trips)
        cold = rows[f"{operation} round trips, cold"].values
        assert set(cold) == {"roost"}
        assert cold["roost"] <= 2, (operation, cold)
    for operation in ("create", "mkdir", "setattr"):
        assert rows[f"{operation} round trips"].values["roost"] <= 1.2, operation
    assert rows["create"].values["juicefs"] < 1000 / 0.5 / 3


def test_a_worker_does_what_it_says(tmp_path: Path) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    make_volume(url, NewVolume("bench", bucket=str(tmp_path / "objects"), trash_days=0))
    with WorkerProcess("roost", url) as worker:
        worker.enter("files")
        worker.run(Job("create", "files", 3, threads=2))
        worker.run(Job("mkdir", "files", 1, tag="d"))
        worker.run(Job("setattr", "files", 3))
        worker.run(Job("rename", "files", 3))
        worker.run(Job("unlink", "files", 2))
    with open_meta(url, read_only=True) as found:
        folder = found.lookup(ROOT, b"files").ino
        entries = {e.name: e.attr.mode for e in found.readdir(folder, with_attrs=True) if e.attr}
    assert entries == {
        b"d-0-0": 0o755,
        b"f-0-2.r": 0o600,
        b"f-1-0": 0o644,
        b"f-1-1": 0o644,
        b"f-1-2": 0o644,
    }


def test_a_worker_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no volume at"):
        WorkerProcess("roost", f"sqlite3://{tmp_path}/none.db")


def test_peers_and_servers_that_are_not_installed_are_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(juicefs, "find_program", lambda: None)
    monkeypatch.setattr(RedisServer, "missing", classmethod(lambda cls: "no redis-server"))
    report = measure(MetaBench(("juicefs",), ("redis",), rounds=1, operations=16), quiet)
    assert report.rows == []
    assert list(report.versions) == ["roost"]
    assert report.left_out == [
        "juicefs is not installed",
        "redis rtt=0: no redis-server",
        "redis rtt=0.5: no redis-server",
    ]


def test_unknown_peers_and_settings_are_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidArgument, match="unknown peer") as refused:
        measure(MetaBench(("cephfs",)), quiet)
    assert "juicefs" in refused.value.hint
    with pytest.raises(InvalidArgument, match="unknown setting") as refused:
        chosen(("oracle",))
    assert "mariadb rtt=0.5" in refused.value.hint
    assert chosen(()) == SETTINGS


def test_a_distant_place_is_reached_through_its_proxy(tmp_path: Path) -> None:
    require(RedisServer.missing())
    near, far = chosen(("redis",))
    with Places(tmp_path) as places:
        assert places.new(near).proxy is None
        place = places.new(far)
        assert place.proxy is not None
        assert f":{place.proxy.port}/" in place.roost_url
        assert place.roost_url == place.juicefs_url


@pytest.mark.parametrize(
    ("told", "seconds"), [("1m2.5s", 62.5), ("137.5ms", 0.1375), ("535.4µs", 0.0005354)]
)
def test_durations_are_read_as_go_writes_them(told: str, seconds: float) -> None:
    assert juicefs._seconds(told) == pytest.approx(seconds)
