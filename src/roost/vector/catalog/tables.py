"""The tables of the catalog, version 1.  `docs/formats/catalog.md` says the same for people.

Names carry a prefix, so that the catalog may share a database.  Everything that grows is JSON in
one text column (schema, manifest), so that a new field there needs no migration.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()

# MySQL compares names without regard to case and cuts TEXT at 64 KiB unless told otherwise.
_Name = String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_bin"), "mysql", "mariadb")
_Path = String(512).with_variant(mysql.VARCHAR(512, collation="utf8mb4_bin"), "mysql", "mariadb")
_Long = Text().with_variant(mysql.LONGTEXT(collation="utf8mb4_bin"), "mysql", "mariadb")

# One row: the version of everything here.  Read before anything else.
format_version = Table(
    "roost_format",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

# One row.  `changes` counts DDL; with the highest `seq` of a manifest it is the change counter.
state = Table(
    "roost_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("changes", BigInteger, nullable=False),
)

# One row.  It is compared and set, never held across a round trip (hazard H2).  `renewals` is what
# a standby watches; no date is stored, because dates of two hosts are not comparable.
lease = Table(
    "roost_lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
    Column("holder", _Name, nullable=False),
    Column("renewals", BigInteger, nullable=False),
    Column("high_water_ts", BigInteger, nullable=False),
    Column("released", Boolean(create_constraint=False), nullable=False),
    Column("term_ms", Integer, nullable=False),
)

# Where the log of each older generation ends, for ever (hazard H1).
seals = Table(
    "roost_seals",
    metadata,
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("file", BigInteger, nullable=False),
    Column("offset_bytes", BigInteger, nullable=False),
)

# One row: the first file of the log that was not collected.
log_floor = Table(
    "roost_log_floor",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
    Column("file", BigInteger, nullable=False),
)

# The next free id of each kind.  Ids are never used twice.
ids = Table(
    "roost_ids",
    metadata,
    Column("kind", _Name, primary_key=True),
    Column("next_id", BigInteger, nullable=False),
)

# `live_name` equals `name` until the collection is dropped, then it is NULL: the name is free at
# once, and the row stays until the collection's files are given up.
collections = Table(
    "roost_collections",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", _Name, nullable=False),
    Column("live_name", _Name, nullable=True, unique=True),
    Column("schema_json", _Long, nullable=False),
    Column("consistency", Integer, nullable=False),
    Column("properties_json", _Long, nullable=False),
    Column("shards", Integer, nullable=False),
    Column("loaded", Boolean(create_constraint=False), nullable=False),
    Column("created_ts", BigInteger, nullable=False),
    Column("updated_ts", BigInteger, nullable=False),
)

partitions = Table(
    "roost_partitions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("collection_id", BigInteger, nullable=False, index=True),
    Column("name", _Name, nullable=False),
    Column("created_ts", BigInteger, nullable=False),
    UniqueConstraint("collection_id", "name"),
)

# At most one index a field, as Milvus has it.
indexes = Table(
    "roost_indexes",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("collection_id", BigInteger, nullable=False, index=True),
    Column("field", _Name, nullable=False),
    Column("name", _Name, nullable=False),
    Column("index_type", _Name, nullable=False),
    Column("metric", _Name, nullable=False),
    Column("params_json", _Long, nullable=False),
    UniqueConstraint("collection_id", "field"),
    UniqueConstraint("collection_id", "name"),
)

aliases = Table(
    "roost_aliases",
    metadata,
    Column("alias", _Name, primary_key=True),
    Column("collection_id", BigInteger, nullable=False, index=True),
)

# One row a version.  A row is a reference: what its body names must not be deleted (hazard H21).
# `seq` rises over all collections and is part of the change counter.
manifests = Table(
    "roost_manifests",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("collection_id", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("complete_to", BigInteger, nullable=False),
    Column("body", _Long, nullable=False),
    UniqueConstraint("collection_id", "version"),
)

pins = Table(
    "roost_pins",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("collection_id", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
)

# Paths no manifest may name any more; deleted after the grace time, then removed from here.
doomed = Table(
    "roost_doomed",
    metadata,
    Column("path", _Path, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("doomed_ms", BigInteger, nullable=False),
)

# Processes of the cluster.  `beats` counts; watchers judge by their own clocks whether it moves.
members = Table(
    "roost_members",
    metadata,
    Column("id", _Name, primary_key=True),
    Column("role", _Name, nullable=False),
    Column("address", _Name, nullable=False),
    Column("client_address", _Name, nullable=False),
    Column("beats", BigInteger, nullable=False),
    Column("info", _Long, nullable=False),
)
