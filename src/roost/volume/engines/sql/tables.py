"""The tables of a volume, as JuiceFS 1.4 creates them in each database.

Besides them one private table, which JuiceFS ignores: `roost_commit` holds per client the number of
its last commit, so that a lost answer can be decided.
Source: the volume format reference, section 3.1 and appendix A, recorded from juicefs 1.4.2.
"""

from dataclasses import dataclass

from roost.volume.engines.sql.dialect import Dialect

Columns = tuple[str, ...]

COMMIT_TABLE = "roost_commit"

# Types: key = short text, name = a file's name, target = a link's, big and int = numbers.
_TYPES = {
    "sqlite": {
        "key": "TEXT", "text": "TEXT", "name": "BLOB", "target": "BLOB", "blob": "BLOB",
        "big": "INTEGER", "int": "INTEGER",
    },
    "mysql": {
        "key": "VARCHAR(255)", "text": "TEXT", "name": "VARBINARY(255)",
        "target": "VARBINARY(4096)", "blob": "BLOB", "big": "BIGINT(20)", "int": "INT",
    },
    "postgres": {
        "key": "VARCHAR(255)", "text": "TEXT", "name": "BYTEA", "target": "BYTEA",
        "blob": "BYTEA", "big": "BIGINT", "int": "INTEGER",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """A table: columns as `name type [id|pk|null|zero]`, and what is indexed."""

    name: str
    columns: Columns
    key: Columns = ()  # a primary key of several columns
    unique: tuple[str, Columns] | None = None
    index: tuple[str, Columns] | None = None


_NODE = (
    "inode big pk", "type int", "flags int", "mode int", "uid int", "gid int", "atime big",
    "mtime big", "ctime big", "atimensec int zero", "mtimensec int zero", "ctimensec int zero",
    "nlink int", "length big", "rdev int null", "parent big null", "access_acl_id int null",
    "default_acl_id int null", "tier_id int null",
)  # fmt: skip
_QUOTA = ("max_space big", "max_inodes big", "used_space big", "used_inodes big")
_LOCK = ("id big id", "inode big", "sid big", "owner big")

TABLES = (
    Table("jfs_setting", ("name key pk", "value text")),
    Table("jfs_counter", ("name key pk", "value big")),
    Table(
        "jfs_edge",
        ("id big id", "parent big", "name name", "inode big", "type int"),
        unique=("edge", ("parent", "name")),
        index=("inode", ("inode",)),
    ),
    Table("jfs_node", _NODE),
    Table("jfs_symlink", ("inode big pk", "target target")),
    Table(
        "jfs_xattr",
        ("id big id", "inode big", "name key", "value blob"),
        unique=("name", ("inode", "name")),
    ),
    Table(
        "jfs_chunk",
        ("id big id", "inode big", "indx int", "slices blob"),
        unique=("chunk", ("inode", "indx")),
    ),
    Table(
        "jfs_chunk_ref", ("chunkid big pk", "size int", "refs int"), index=("refs", ("refs",))
    ),
    Table("jfs_delslices", ("chunkid big pk", "deleted big", "slices blob")),
    Table("jfs_session2", ("sid big pk", "expire big", "info blob null")),
    Table(
        "jfs_sustained",
        ("id big id", "sid big", "inode big"),
        unique=("sustained", ("sid", "inode")),
    ),
    Table("jfs_delfile", ("inode big pk", "length big", "expire big")),
    Table("jfs_flock", (*_LOCK, "ltype int"), unique=("flock", ("inode", "sid", "owner"))),
    Table("jfs_plock", (*_LOCK, "records blob"), unique=("plock", ("inode", "sid", "owner"))),
    Table("jfs_dir_quota", ("inode big pk", *_QUOTA)),
    Table("jfs_user_group_quota", ("qtype int", "qkey big", *_QUOTA), key=("qtype", "qkey")),
    Table(
        "jfs_dir_stats",
        ("inode big pk", "data_length big", "used_space big", "used_inodes big"),
    ),
    Table("jfs_detached_node", ("inode big pk", "added big")),
    Table(
        "jfs_acl",
        (
            "id int id", "owner int null", "group int null", "mask int null", "other int null",
            "named_users blob null", "named_groups blob null",
        ),
    ),
    Table("jfs_delegation_token", ("id int id", "token blob null")),
    Table("jfs_change_log", ("id big id", "entry text")),
)  # fmt: skip


def create_statements(dialect: Dialect) -> list[str]:
    """Return the statements that create all tables of an empty database, in JuiceFS's order.

    Names have the usual prefix; the dialect spells them, as in all statements.
    """
    made: list[str] = []
    for table in TABLES:
        made.append(_create(table, dialect.name))
        made.extend(_indexes(table, dialect.name))
    return [*made, create_commit_table(dialect)]


def create_commit_table(dialect: Dialect) -> str:
    """Return the statement that makes the private table, unless it is there."""
    if dialect.name == "sqlite":
        return (
            f"CREATE TABLE IF NOT EXISTS `{COMMIT_TABLE}` (`client` INTEGER PRIMARY KEY NOT NULL, "
            "`batch` INTEGER NOT NULL, `at` INTEGER NOT NULL)"
        )
    engine = " ENGINE=InnoDB" if dialect.name == "mysql" else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {COMMIT_TABLE} (client BIGINT PRIMARY KEY NOT NULL,"
        f" batch BIGINT NOT NULL, at BIGINT NOT NULL){engine}"
    )


def table_names() -> tuple[str, ...]:
    """Return the names of JuiceFS's tables, with the usual prefix."""
    return tuple(table.name for table in TABLES)


def _create(table: Table, database: str) -> str:
    columns = [_column(column.split(), database) for column in table.columns]
    quote = '"' if database == "postgres" else "`"
    if table.key:
        names = ",".join(f"{quote}{name}{quote}" for name in table.key)
        columns.append(f"PRIMARY KEY ( {names} )")
    ending = " ENGINE=InnoDB" if database == "mysql" else ""
    return f"CREATE TABLE {quote}{table.name}{quote} ({', '.join(columns)}){ending}"


def _column(words: list[str], database: str) -> str:
    name, kind, *rest = words
    mark = rest[0] if rest else ""
    text = _TYPES[database][kind]
    if database == "postgres":
        if mark == "id":
            text = "BIGSERIAL" if kind == "big" else "SERIAL"
        ends = {"id": " PRIMARY KEY", "pk": " PRIMARY KEY", "zero": " DEFAULT 0", "null": " NULL"}
        null = "" if mark == "null" else " NOT NULL"
        return f'"{name}" {text}{ends.get(mark, "")}{null}'
    auto = "AUTOINCREMENT" if database == "sqlite" else "AUTO_INCREMENT"
    ends = {
        "id": f" PRIMARY KEY {auto} NOT NULL",
        "pk": " PRIMARY KEY NOT NULL",
        "zero": " DEFAULT 0 NOT NULL",
        "null": " NULL",
        "": " NOT NULL",
    }
    return f"`{name}` {text}{ends[mark]}"


def _indexes(table: Table, database: str) -> list[str]:
    quote = '"' if database == "postgres" else "`"
    made = []
    for unique, found in ((True, table.unique), (False, table.index)):
        if found is None:
            continue
        name, columns = found
        kind, start = ("UNIQUE INDEX", "UQE") if unique else ("INDEX", "IDX")
        listed = ",".join(f"{quote}{column}{quote}" for column in columns)
        index = f"{quote}{start}_{table.name}_{name}{quote}"
        made.append(f"CREATE {kind} {index} ON {quote}{table.name}{quote} ({listed})")
    return made
