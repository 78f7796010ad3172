"""What a caller hears of a database's failure: one line, and what to do."""

import pytest

from roost.volume.engines.registry import parse_url
from roost.volume.engines.sql_servers.driver import Failed, SqlError
from roost.volume.engines.sql_servers.failures import failure
from roost.volume.engines.sql_servers.opening import server_of


@pytest.mark.parametrize(
    "kind",
    [
        Failed.LOST, Failed.CROWDED, Failed.HELD, Failed.BUSY, Failed.READ_ONLY, Failed.DENIED,
        Failed.OTHER,
    ],
)  # fmt: skip
def test_a_hint_says_what_to_do(kind: Failed) -> None:
    assert failure(SqlError(kind, "words"), "mysql://h/d").hint


def test_a_message_has_one_line(url: str) -> None:
    connection = server_of(parse_url(url)).connect()
    with pytest.raises(SqlError) as failed:
        connection.run([("SELECT nothing_like_this FROM jfs_node", ())])
    connection.close()
    assert "nothing_like_this" in failed.value.message
    assert "\n" not in failed.value.message
    assert "LINE 1" not in failed.value.message
