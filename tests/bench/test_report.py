"""Medians, ratios and the JSON form."""

import json
from pathlib import Path

from roost.bench.report import Report, Row


def test_ratio_says_how_many_times_better_whatever_better_means() -> None:
    rate = Row("insert", "rows=1", "rows/s", "higher")
    span = Row("first", "rows=1", "s", "lower")
    for row, ours, theirs in ((rate, 30.0, 10.0), (span, 1.0, 3.0)):
        row.add("roost", ours)
        row.add("peer", theirs)
        assert row.ratio("roost", "peer") == 3.0
    assert rate.ratio("roost", "absent") is None


def test_the_file_has_medians_and_spreads(tmp_path: Path) -> None:
    row = Row("insert", "rows=1", "rows/s", "higher")
    for figure in (1.0, 9.0, 2.0):
        row.add("roost", figure)
    Report("vectors", {"roost": "1"}, [row], ["milvus"]).write(tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["bench"] == "vectors"
    assert written["left_out"] == ["milvus"]
    assert written["notes"] == []
    assert written["rows"] == [
        {
            "name": "insert",
            "setting": "rows=1",
            "unit": "rows/s",
            "better": "higher",
            "values": {"roost": 2.0},
            "spread": {"roost": [1.0, 9.0]},
        }
    ]
