"""Databases of SQL servers that tests share; emptied between tests, for making tables is slow."""

from roost.volume.engines.registry import parse_url
from roost.volume.engines.sql.tables import COMMIT_TABLE, create_statements, table_names
from roost.volume.engines.sql_servers.opening import server_of


def empty_tables(meta_url: str) -> str:
    """Leave the database as before `format`, with JuiceFS's tables but no row; return its URL."""
    server = server_of(parse_url(meta_url))
    connection = server.connect()
    try:
        if connection.run([server.has_table("jfs_setting")])[0]:
            names = (*table_names(), COMMIT_TABLE)
            connection.run([(f"DELETE FROM {name}", ()) for name in names])
        else:
            connection.run([(text, ()) for text in create_statements(server.dialect)])
    finally:
        connection.close()
    return meta_url
