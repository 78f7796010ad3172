"""What the settings of the data path mean for the store."""

import pytest

from roost.blob.patience import Patience
from roost.volume.data.settings import DataSettings


def test_a_store_that_nobody_spoke_of_is_given_up_soon() -> None:
    assert DataSettings().patience == Patience()


def test_a_time_out_that_was_chosen_holds_for_the_first_answer() -> None:
    patience = DataSettings(get_timeout_s=300, io_retries=3).patience
    assert patience.request_timeout_s == patience.first_try_s == patience.first_answer_s == 300
    assert patience.tries_max == 3


@pytest.mark.parametrize("verb", ["get_timeout_s", "put_timeout_s"])
def test_a_time_out_of_one_kind_of_request_is_no_time_out_of_the_other(verb: str) -> None:
    patience = DataSettings(**{verb: 5}).patience
    assert patience.request_timeout_s == Patience().request_timeout_s
    assert patience.first_try_s == 5


def test_the_usual_time_out_may_be_chosen() -> None:
    patience = DataSettings(get_timeout_s=60).patience
    assert patience.request_timeout_s == patience.first_try_s == 60


def test_a_short_time_out_still_leaves_time_for_another_try() -> None:
    patience = DataSettings(get_timeout_s=2, put_timeout_s=5).patience
    assert patience.first_try_s == patience.request_timeout_s == 5
    assert patience.first_answer_s == Patience().first_answer_s
