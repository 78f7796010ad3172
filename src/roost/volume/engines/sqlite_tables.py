"""The tables of a volume in SQLite, statement for statement as JuiceFS 1.4 creates them.

Besides them one private table, which JuiceFS ignores: `roost_commit` holds per client the number of
its last committed batch, so that a lost answer can be decided.
Source: the volume format reference, section 3.1, recorded from juicefs 1.4.2.
"""

import sqlite3

JUICEFS_TABLES = (
    ("CREATE TABLE `jfs_setting` (`name` TEXT PRIMARY KEY NOT NULL, `value` TEXT NOT NULL)"),
    ("CREATE TABLE `jfs_counter` (`name` TEXT PRIMARY KEY NOT NULL, `value` INTEGER NOT NULL)"),
    (
        "CREATE TABLE `jfs_edge` (`id` INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        "`parent` INTEGER NOT NULL, `name` BLOB NOT NULL, `inode` INTEGER NOT NULL, "
        "`type` INTEGER NOT NULL)"
    ),
    ("CREATE UNIQUE INDEX `UQE_jfs_edge_edge` ON `jfs_edge` (`parent`,`name`)"),
    ("CREATE INDEX `IDX_jfs_edge_inode` ON `jfs_edge` (`inode`)"),
    (
        "CREATE TABLE `jfs_node` (`inode` INTEGER PRIMARY KEY NOT NULL, "
        "`type` INTEGER NOT NULL, `flags` INTEGER NOT NULL, `mode` INTEGER NOT NULL, "
        "`uid` INTEGER NOT NULL, `gid` INTEGER NOT NULL, `atime` INTEGER NOT NULL, "
        "`mtime` INTEGER NOT NULL, `ctime` INTEGER NOT NULL, "
        "`atimensec` INTEGER DEFAULT 0 NOT NULL, `mtimensec` INTEGER DEFAULT 0 NOT NULL, "
        "`ctimensec` INTEGER DEFAULT 0 NOT NULL, `nlink` INTEGER NOT NULL, "
        "`length` INTEGER NOT NULL, `rdev` INTEGER NULL, `parent` INTEGER NULL, "
        "`access_acl_id` INTEGER NULL, `default_acl_id` INTEGER NULL, "
        "`tier_id` INTEGER NULL)"
    ),
    ("CREATE TABLE `jfs_symlink` (`inode` INTEGER PRIMARY KEY NOT NULL, `target` BLOB NOT NULL)"),
    (
        "CREATE TABLE `jfs_xattr` (`id` INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        "`inode` INTEGER NOT NULL, `name` TEXT NOT NULL, `value` BLOB NOT NULL)"
    ),
    ("CREATE UNIQUE INDEX `UQE_jfs_xattr_name` ON `jfs_xattr` (`inode`,`name`)"),
    (
        "CREATE TABLE `jfs_chunk` (`id` INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        "`inode` INTEGER NOT NULL, `indx` INTEGER NOT NULL, `slices` BLOB NOT NULL)"
    ),
    ("CREATE UNIQUE INDEX `UQE_jfs_chunk_chunk` ON `jfs_chunk` (`inode`,`indx`)"),
    (
        "CREATE TABLE `jfs_chunk_ref` (`chunkid` INTEGER PRIMARY KEY NOT NULL, "
        "`size` INTEGER NOT NULL, `refs` INTEGER NOT NULL)"
    ),
    ("CREATE INDEX `IDX_jfs_chunk_ref_refs` ON `jfs_chunk_ref` (`refs`)"),
    (
        "CREATE TABLE `jfs_delslices` (`chunkid` INTEGER PRIMARY KEY NOT NULL, "
        "`deleted` INTEGER NOT NULL, `slices` BLOB NOT NULL)"
    ),
    (
        "CREATE TABLE `jfs_session2` (`sid` INTEGER PRIMARY KEY NOT NULL, "
        "`expire` INTEGER NOT NULL, `info` BLOB NULL)"
    ),
    (
        "CREATE TABLE `jfs_sustained` (`id` INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        "`sid` INTEGER NOT NULL, `inode` INTEGER NOT NULL)"
    ),
    ("CREATE UNIQUE INDEX `UQE_jfs_sustained_sustained` ON `jfs_sustained` (`sid`,`inode`)"),
    (
        "CREATE TABLE `jfs_delfile` (`inode` INTEGER PRIMARY KEY NOT NULL, "
        "`length` INTEGER NOT NULL, `expire` INTEGER NOT NULL)"
    ),
    (
        "CREATE TABLE `jfs_flock` (`id` INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        "`inode` INTEGER NOT NULL, `sid` INTEGER NOT NULL, `owner` INTEGER NOT NULL, "
        "`ltype` INTEGER NOT NULL)"
    ),
    ("CREATE UNIQUE INDEX `UQE_jfs_flock_flock` ON `jfs_flock` (`inode`,`sid`,`owner`)"),
    (
        "CREATE TABLE `jfs_plock` (`id` INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        "`inode` INTEGER NOT NULL, `sid` INTEGER NOT NULL, `owner` INTEGER NOT NULL, "
        "`records` BLOB NOT NULL)"
    ),
    ("CREATE UNIQUE INDEX `UQE_jfs_plock_plock` ON `jfs_plock` (`inode`,`sid`,`owner`)"),
    (
        "CREATE TABLE `jfs_dir_quota` (`inode` INTEGER PRIMARY KEY NOT NULL, "
        "`max_space` INTEGER NOT NULL, `max_inodes` INTEGER NOT NULL, "
        "`used_space` INTEGER NOT NULL, `used_inodes` INTEGER NOT NULL)"
    ),
    (
        "CREATE TABLE `jfs_user_group_quota` (`qtype` INTEGER NOT NULL, "
        "`qkey` INTEGER NOT NULL, `max_space` INTEGER NOT NULL, "
        "`max_inodes` INTEGER NOT NULL, `used_space` INTEGER NOT NULL, "
        "`used_inodes` INTEGER NOT NULL, PRIMARY KEY ( `qtype`,`qkey` ))"
    ),
    (
        "CREATE TABLE `jfs_dir_stats` (`inode` INTEGER PRIMARY KEY NOT NULL, "
        "`data_length` INTEGER NOT NULL, `used_space` INTEGER NOT NULL, "
        "`used_inodes` INTEGER NOT NULL)"
    ),
    (
        "CREATE TABLE `jfs_detached_node` (`inode` INTEGER PRIMARY KEY NOT NULL, "
        "`added` INTEGER NOT NULL)"
    ),
    (
        "CREATE TABLE `jfs_acl` (`id` INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        "`owner` INTEGER NULL, `group` INTEGER NULL, `mask` INTEGER NULL, "
        "`other` INTEGER NULL, `named_users` BLOB NULL, `named_groups` BLOB NULL)"
    ),
    (
        ""
        "CREATE TABLE `jfs_delegation_token` (`id` INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        "`token` BLOB NULL)"
    ),
    (
        "CREATE TABLE `jfs_change_log` (`id` INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        "`entry` TEXT NOT NULL)"
    ),
)

COMMIT_TABLE = (
    "CREATE TABLE IF NOT EXISTS `roost_commit` (`client` INTEGER PRIMARY KEY NOT NULL, "
    "`batch` INTEGER NOT NULL, `at` INTEGER NOT NULL)"
)


def create_tables(connection: sqlite3.Connection) -> None:
    """Create all tables of an empty database, inside the caller's transaction."""
    for statement in JUICEFS_TABLES:
        connection.execute(statement)
    connection.execute(COMMIT_TABLE)


def has_volume(connection: sqlite3.Connection) -> bool:
    """True if the database has the settings table of a volume."""
    row = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'jfs_setting'"
    ).fetchone()
    return row is not None
