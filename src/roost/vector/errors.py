"""What the engine refuses, in the words that Milvus's clients act on.

Each class stands for one Milvus code; the table from class to code is in `serve/milvus/status.py`.
"""

from roost.errors import AlreadyExists, InvalidArgument, NotFound, Refusal, Unavailable


class CollectionNotFound(NotFound):
    """Milvus code 100."""

    def __init__(self, name: str, database: str = "default") -> None:
        super().__init__(f"collection not found[database={database}][collection={name}]")


class CollectionExists(AlreadyExists):
    """A collection of that name exists and differs from the one asked for."""


class CollectionNotLoaded(Refusal):
    """Milvus code 101: search and query need `load` first."""

    hint = "Load the collection first: client.load_collection(name)."

    def __init__(self, name: str) -> None:
        super().__init__(f"collection not loaded[collection={name}]")


class PartitionNotFound(NotFound):
    """Milvus code 200."""

    def __init__(self, name: str) -> None:
        super().__init__(f"partition not found[partition={name}]")


class IndexNotFound(NotFound):
    """Milvus code 700."""


class DatabaseNotFound(NotFound):
    """Milvus code 800."""

    def __init__(self, name: str) -> None:
        super().__init__(f"database not found[database={name}]")


class FieldNotFound(NotFound):
    """Milvus code 1700."""

    def __init__(self, name: str) -> None:
        super().__init__(f"field {name} not exist")


class SchemaError(InvalidArgument):
    """The schema of a new collection is not one that Milvus accepts (code 1100)."""


class RowsRefused(InvalidArgument):
    """Rows do not fit the schema: type, dimension, length, NaN (code 1100).  Nothing was stored."""


class SchemaMismatch(InvalidArgument):
    """The client's cached schema is old (legacy code 62): it must fetch it again."""


class FilterError(InvalidArgument):
    """A filter does not parse or does not fit the schema (code 1100).

    `position` is the offset in characters where it goes wrong, None if it is nowhere in particular.
    """

    def __init__(self, text: str, why: str, position: int | None = None) -> None:
        at = "" if position is None else f" at position {position}"
        super().__init__(f"cannot parse expression: {text}, error: {why}{at}")
        self.position = position


class IndexParameterError(InvalidArgument):
    """An index or search parameter that the index type does not take (code 1100)."""


class TimestampNotReached(Unavailable):
    """A reader has not yet received what the query must see; retriable."""
