"""A measured command: its words, its time, and its own memory, not that of who started it."""

import sys

import pytest

from roost.bench.commands import peak_rss_bytes, run
from roost.errors import Unavailable


def test_a_command_tells_output_time_and_its_own_peak() -> None:
    ballast = bytearray(b"x" * (200 << 20))  # of this process, which forks
    done = run(sys.executable, "-S", "-c", "print('said'); import time; time.sleep(0.1)")
    assert done.output == "said\n"
    assert 0.1 <= done.seconds < 10
    assert 1 << 20 < done.peak_rss_bytes < 100 << 20 < len(ballast) < peak_rss_bytes()
    grown = run(sys.executable, "-S", "-c", "a = b'x' * (150 << 20)")
    assert grown.peak_rss_bytes > 150 << 20


def test_a_command_that_fails_is_named_with_its_words() -> None:
    with pytest.raises(Unavailable, match="no such thing"):
        run(sys.executable, "-c", "raise SystemExit('no such thing')")
    with pytest.raises(Unavailable, match="/no/such/program"):
        run("/no/such/program")


def test_a_command_sees_what_was_added_to_the_environment() -> None:
    done = run("/bin/sh", "-c", "echo $GREETING", environment={"GREETING": "hello"})
    assert done.output == "hello\n"
