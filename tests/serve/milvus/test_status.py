"""The table from errors to Milvus's codes."""

import pytest
from pymilvus.client.utils import check_status
from pymilvus.exceptions import MilvusException, SchemaMismatchRetryableException

from roost import errors
from roost.serve.milvus import status
from roost.vector import errors as vector_errors


def every_class() -> set[type[errors.RoostError]]:
    """Return RoostError and all that derive from it: the shared words, the engine's, our own."""
    found = {errors.RoostError}
    for module in (errors, vector_errors, status):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, errors.RoostError):
                found.add(value)
    return found


def test_every_class_of_error_has_its_row() -> None:
    assert every_class() == set(status.TABLE)


def test_no_row_reads_as_success() -> None:
    for row in status.TABLE.values():
        assert row.code != 0
        assert row.legacy != 0


@pytest.mark.parametrize(
    ("error", "code", "legacy"),
    [
        (vector_errors.CollectionNotFound("a"), 100, 4),
        (vector_errors.IndexNotFound("a"), 700, 25),
        (vector_errors.PartitionNotFound("a"), 200, 15),
        (vector_errors.RowsRefused("a"), 1100, 5),
        (vector_errors.SchemaMismatch("a"), 109, 62),
        (errors.StorageFull("a"), 7, 54),
    ],
)
def test_clients_find_the_codes_they_act_on(
    error: errors.RoostError, code: int, legacy: int
) -> None:
    message = status.of(error)
    assert (message.code, message.error_code) == (code, legacy)
    assert message.reason.startswith(error.message)


def test_a_schema_mismatch_makes_the_client_fetch_the_schema_again() -> None:
    with pytest.raises(SchemaMismatchRetryableException):
        check_status(status.of(vector_errors.SchemaMismatch("old")))


def test_a_subclass_without_a_row_answers_as_its_base() -> None:
    class Special(vector_errors.RowsRefused):
        """Of another room."""

    assert status.row_of(Special) == status.TABLE[vector_errors.RowsRefused]


def test_the_hint_is_told_and_mistakes_of_the_caller_are_marked() -> None:
    with pytest.raises(MilvusException) as caught:
        check_status(status.of(errors.InvalidArgument("wrong", hint="Do it right.")))
    assert caught.value.message == "wrong; Do it right."
    assert caught.value.is_input_error
