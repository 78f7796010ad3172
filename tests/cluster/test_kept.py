"""What a reader keeps of the rows it sent, and for how long."""

import pyarrow as pa
import pytest

from roost.cluster.kept import WORTH_BYTES, KeptPayloads
from roost.vector.api import KeptBy

LARGE = pa.py_buffer(b"r" * WORTH_BYTES)


def kept(payloads: KeptPayloads) -> KeptBy:
    kept_by = payloads.keep(LARGE)
    assert kept_by is not None
    return kept_by


def test_a_payload_is_taken_once_and_by_its_own_number() -> None:
    payloads = KeptPayloads()
    first, second = kept(payloads), kept(payloads)
    assert first.token == second.token == payloads.token
    assert first.number != second.number
    assert payloads.take(first.number) is LARGE
    assert payloads.take(first.number) is None
    assert payloads.held_bytes == WORTH_BYTES


def test_two_processes_have_two_tokens() -> None:
    assert KeptPayloads().token != KeptPayloads().token


def test_small_payloads_and_those_beyond_the_limit_are_not_kept() -> None:
    payloads = KeptPayloads(bytes_max=2 * WORTH_BYTES)
    assert payloads.keep(pa.py_buffer(b"small")) is None
    first = kept(payloads)
    kept(payloads)
    assert payloads.keep(LARGE) is None
    payloads.take(first.number)
    kept(payloads)


@pytest.mark.parametrize("applied_first", [True, False])
def test_what_never_comes_back_goes_when_everything_up_to_it_was_applied(
    applied_first: bool,
) -> None:
    payloads = KeptPayloads()
    number = kept(payloads).number
    if applied_first:
        payloads.applied(10)
        payloads.acknowledged(number, 10)
    else:
        payloads.applied(9)
        payloads.acknowledged(number, 10)
        assert payloads.held_bytes == WORTH_BYTES
        payloads.applied(10)
    assert payloads.held_bytes == 0
    assert payloads.take(number) is None


def test_what_was_applied_before_says_nothing_about_an_insert_under_way() -> None:
    payloads = KeptPayloads()
    number = kept(payloads).number
    payloads.applied(1 << 60)
    assert payloads.take(number) is LARGE


def test_a_failed_insert_is_not_kept() -> None:
    payloads = KeptPayloads()
    payloads.failed(kept(payloads).number)
    assert payloads.held_bytes == 0


def test_an_acknowledgement_after_the_record_came_keeps_no_account() -> None:
    payloads = KeptPayloads()
    number = kept(payloads).number
    assert payloads.take(number) is LARGE
    payloads.acknowledged(number, 10)
    payloads.applied(10)
    assert payloads.held_bytes == 0
