"""A writer paused around the fsync of its log, a take-over, and the paused one goes on (H1)."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("pausing_writer.py")
WAIT_S = 60.0


class Writer:
    """One run of the program."""

    def __init__(self, data: Path, first: int, count: int, pause: str) -> None:
        command = [sys.executable, str(PROGRAM), str(data), str(first), str(count), pause]
        self._errors = (data.parent / f"writer-{first}.log").open("wb")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )

    def lines(self, count: int) -> list[list[str]]:
        """The next lines it prints, as words."""
        assert self._process.stdout is not None
        found = [self._process.stdout.readline().split() for _ in range(count)]
        assert all(found), Path(self._errors.name).read_text()
        return found

    def wait_stopped(self) -> None:
        """Wait until it stopped itself."""
        ends = time.monotonic() + WAIT_S
        while True:
            state = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            if state == "T":
                return
            assert time.monotonic() < ends, f"not stopped but {state}"
            time.sleep(0.02)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            stream.close()


def acknowledged(lines: list[list[str]]) -> set[int]:
    return {int(words[1]) for words in lines if words[0] == "ack"}


@pytest.mark.parametrize("pause", ["before-sync", "after-sync"])
def test_a_paused_writer_neither_acknowledges_nor_loses_anything(
    tmp_path: Path, pause: str
) -> None:
    data = tmp_path / "data"
    old = Writer(data, 0, 10, pause)
    started: list[Writer] = [old]
    try:
        assert old.lines(1) == [["writer"]]
        kept = acknowledged(old.lines(9))
        assert kept == set(range(9))
        old.wait_stopped()

        new = Writer(data, 100, 10, "never")
        started.append(new)
        assert new.lines(1) == [["writer"]]
        kept |= acknowledged(new.lines(10))
        first_seen = {int(word) for word in new.lines(1)[0][1:]}

        old.go_on()
        (outcome,) = old.lines(1)
        assert outcome[0] == "fail", "a deposed writer acknowledged a row"
        assert outcome[1] == "9"
        new.kill()
        old.kill()

        third = Writer(data, 200, 1, "never")  # late records come back at the second take-over
        started.append(third)
        third.lines(1)
        kept |= acknowledged(third.lines(1))
        seen = {int(word) for word in third.lines(1)[0][1:]}
    finally:
        for writer in started:
            writer.kill()

    assert kept <= seen
    assert seen - first_seen == {200}, "a row appeared, or vanished, after the first take-over"
    if pause == "before-sync":
        assert seen == kept, "an unacknowledged row of the paused writer appeared"
    else:
        assert seen - kept <= {9}, "it was on disk before the take-over: its outcome was open"
