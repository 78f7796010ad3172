"""Commits to MariaDB are compound statements, in three forms that do the same."""

from collections.abc import Iterator

import pytest

from roost.volume.engines.registry import parse_url
from roost.volume.engines.sql.dialect import Statement, mysql
from roost.volume.engines.sql_servers.driver import ROLLBACK, Connection, Failed, SqlError
from roost.volume.engines.sql_servers.mysql_blocks import SHAPES_MAX, VALUES_MAX, Blocks
from roost.volume.engines.sql_servers.opening import server_of


@pytest.fixture
def connection(mysql_url: str) -> Iterator[Connection]:
    made = server_of(parse_url(mysql_url)).connect()
    made.run([("DROP TABLE IF EXISTS roost_blocks", ())])
    made.run([("CREATE TABLE roost_blocks (a BIGINT PRIMARY KEY, b VARBINARY(99))", ())])
    yield made
    made.run([("DROP TABLE roost_blocks", ())])
    made.close()


def put(*rows: tuple[int, bytes | None]) -> list[Statement]:
    return [("INSERT INTO roost_blocks (a, b) VALUES (?, ?)", row) for row in rows]


def stored(connection: Connection) -> list[tuple[int, bytes | None]]:
    rows = connection.run([("SELECT a, b FROM roost_blocks ORDER BY a", ())])[0]
    return [(a, b) for a, b in rows]


def test_a_shape_is_sent_whole_then_prepared_then_executed() -> None:
    blocks = Blocks(mysql())
    first = blocks.of([("SET @a = ?, @b = 'x'", (1,))])
    assert first.text == "BEGIN NOT ATOMIC START TRANSACTION; SET @a = 1, @b = 'x'; COMMIT; END"
    for _ in range(2):  # until it is known to have worked
        second = blocks.of([("SET @a = ?, @b = 'x'", (2,))])
        assert second.text == (
            "PREPARE roost0 FROM 'BEGIN NOT ATOMIC START TRANSACTION; SET @a = ?, @b = ''x'';"
            " COMMIT; END'; EXECUTE roost0 USING 2"
        )
    second.done()
    assert blocks.of([("SET @a = ?, @b = 'x'", (3,))]).text == "EXECUTE roost0 USING 3"


def test_large_and_many_shapes_are_not_prepared() -> None:
    blocks = Blocks(mysql())
    large = [("DO ?", (1,))] * (VALUES_MAX + 1)
    for _ in range(3):
        assert blocks.of(large).text.startswith("BEGIN NOT ATOMIC")
    seconds = []
    for number in range(SHAPES_MAX + 1):
        blocks.of([(f"DO {number} + ?", (1,))])
        seconds.append(blocks.of([(f"DO {number} + ?", (1,))]).text)
    assert all(text.startswith("PREPARE") for text in seconds[:-1])
    assert seconds[-1].startswith("BEGIN NOT ATOMIC")


def test_all_forms_store_what_was_given(connection: Connection) -> None:
    values = [b"", b"'; DROP TABLE roost_blocks; '", bytes(range(99)), None, b"?", b"%s"]
    for number, value in enumerate(values):
        connection.transact(put((number, value)))
    assert stored(connection) == list(enumerate(values))


@pytest.mark.parametrize("done_before", [0, 1, 2, 5])
def test_a_failure_in_any_form_leaves_nothing(connection: Connection, done_before: int) -> None:
    for number in range(done_before):
        connection.transact(put((number, b"before"), (100 + number, b"before")))
    before = stored(connection)
    connection.transact([("INSERT INTO roost_blocks (a) VALUES (?)", (50,))])
    with pytest.raises(SqlError) as failed:
        connection.transact(put((49, b"new"), (50, b"taken")))
    assert failed.value.kind is Failed.DUPLICATE
    connection.run([ROLLBACK])
    assert stored(connection) == sorted([*before, (50, None)])
    connection.transact(put((60, b"after"), (61, b"after")))
    assert len(stored(connection)) == len(before) + 3


def test_a_prepared_shape_that_the_server_lost_is_sent_as_statements(
    connection: Connection,
) -> None:
    for number in range(3):
        connection.transact(put((number, b"")))
    connection.run([("DEALLOCATE PREPARE roost0", ())])
    for number in range(3, 6):
        connection.transact(put((number, b"")))
    assert len(stored(connection)) == 6


def test_where_no_more_can_be_prepared_commits_go_on(connection: Connection) -> None:
    ((limit,),) = connection.run([("SELECT @@max_prepared_stmt_count", ())])[0]
    connection.run([("SET GLOBAL max_prepared_stmt_count = 0", ())])
    try:
        for number in range(4):
            connection.transact(put((number, b"")))
    finally:
        connection.run([("SET GLOBAL max_prepared_stmt_count = ?", (limit,))])
    assert len(stored(connection)) == 4
