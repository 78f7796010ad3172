"""The one database there is.

Clients name the database in the metadata of each call, other SDKs in the request; an unknown one is
refused, so that nobody writes into `default` by mistake.
"""

from typing import Any

import grpc

from roost.vector.errors import DatabaseNotFound

DEFAULT_DATABASE = "default"
DEFAULT_DATABASE_ID = 1

_KNOWN = ("", DEFAULT_DATABASE)


def check(request: Any, context: grpc.ServicerContext) -> None:
    """Raise DatabaseNotFound if the call is about another database."""
    named = getattr(request, "db_name", "")
    if named not in _KNOWN:
        raise DatabaseNotFound(named)
    for key, value in context.invocation_metadata():
        if key == "dbname" and value not in _KNOWN:
            raise DatabaseNotFound(value)
