"""Manifest versions: commit by one statement, read the newest, keep and forget old ones."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from roost.errors import AlreadyExists, LeaseLost, NotFound, Refusal, Unsupported
from roost.vector.catalog import tables
from roost.vector.catalog.database import Database
from roost.vector.errors import CollectionNotFound
from roost.vector.manifest import Manifest

_M = tables.manifests.c
_C = tables.collections.c
_L = tables.lease.c
_D = tables.doomed.c

PATHS_ADDED_MAX = 30_000
"""New paths of one version; each is a parameter of the commit, and SQLite takes 32,766."""


class ManifestRows:
    """The part of the catalog that knows the versions of collections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def change_counter(self) -> int:
        """Return a number that rises with every DDL change and manifest; one cheap read.

        A manifest is committed by one INSERT and cannot bump a counter beside it, so the number
        is the sum of the DDL count and the highest `seq`.
        """
        with self._database.reading() as connection:
            return read_change_counter(connection)

    def commit_manifest(self, manifest: Manifest) -> None:
        """Make it the newest version, by one statement that checks `manifest.generation` (H2).

        The version must be the latest plus one (1 at first).  The very same manifest again is fine,
        which also settles a CommitUnknown: try again.  Raises LeaseLost, CollectionNotFound,
        AlreadyExists (another manifest has that version, or a gap), Refusal if it names a doomed
        file (H21).
        """
        latest = self.latest_manifest(manifest.collection_id)
        # What the version before names cannot be doomed, and the statement checks that it is the
        # version before: only what is added has to be looked up.
        added = sorted(manifest.paths - (latest.paths if latest else set()))
        if len(added) > PATHS_ADDED_MAX:
            raise Unsupported(f"a version that adds {len(added)} files at once")
        if self._database.execute_alone(_commit(manifest, added)) == 0:
            self._explain(manifest, added)

    def latest_manifest(self, collection_id: int) -> Manifest | None:
        """Return the newest version, None if there is none yet."""
        query = _select().where(_M.collection_id == collection_id)
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(_M.version.desc()).limit(1)).first()
        return None if row is None else _manifest(row)

    def latest_manifests(self) -> dict[int, Manifest]:
        """Return the newest version of every live collection that has one, as of one instant."""
        newest = (
            sa.select(_M.collection_id, sa.func.max(_M.version).label("version"))
            .join(tables.collections, _C.id == _M.collection_id)
            .where(_C.live_name.is_not(None))
            .group_by(_M.collection_id)
            .subquery()
        )
        query = _select().join(
            newest,
            sa.and_(newest.c.collection_id == _M.collection_id, newest.c.version == _M.version),
        )
        with self._database.reading() as connection:
            return {row.collection_id: _manifest(row) for row in connection.execute(query)}

    def manifest(self, collection_id: int, version: int) -> Manifest:
        """Return that version.  Raises NotFound."""
        query = _select().where(_M.collection_id == collection_id, _M.version == version)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"collection {collection_id} has no version {version} (any more)")
        return _manifest(row)

    def manifests_after(self, collection_id: int, version: int) -> list[Manifest]:
        """Return the versions above `version`, oldest first."""
        query = _select().where(_M.collection_id == collection_id, _M.version > version)
        with self._database.reading() as connection:
            return [_manifest(row) for row in connection.execute(query.order_by(_M.version))]

    def prune_manifests(self, collection_id: int, below_version: int, generation: int) -> int:
        """Forget versions below one, except the latest and pinned ones; return how many.

        What a manifest row names is alive: prune after the grace time, then `doom`.
        """
        pins = tables.pins.c
        pinned = sa.select(pins.version).where(pins.collection_id == collection_id)
        newest = sa.select(sa.func.max(_M.version)).where(_M.collection_id == collection_id)
        with self._database.changing(generation) as connection:
            latest = connection.execute(newest).scalar_one() or 0
            forget = sa.delete(tables.manifests).where(
                _M.collection_id == collection_id,
                _M.version < min(below_version, latest),
                _M.version.not_in(pinned),
            )
            return connection.execute(forget).rowcount

    def _explain(self, manifest: Manifest, added: list[str]) -> None:
        """Return if that very manifest is stored, else raise why it was not."""
        where = sa.and_(_M.collection_id == manifest.collection_id, _M.version == manifest.version)
        with self._database.reading() as connection:
            generation = connection.execute(sa.select(_L.generation)).scalar_one()
            stored = connection.execute(sa.select(_M.body).where(where)).scalar_one_or_none()
            live = connection.execute(
                sa.select(_C.id).where(_C.id == manifest.collection_id, _C.live_name.is_not(None))
            ).first()
            doomed = connection.execute(sa.select(_D.path).where(_D.path.in_(added))).first()
        if stored == manifest.to_json():
            return
        if generation != manifest.generation:
            raise LeaseLost(
                f"generation {manifest.generation} has ended: the writer is generation {generation}"
            )
        if live is None:
            raise CollectionNotFound(str(manifest.collection_id))
        if doomed is not None:
            raise Refusal(f"{doomed.path} is doomed; no version may name it")
        raise AlreadyExists(
            f"collection {manifest.collection_id} has another version {manifest.version}, or a gap"
            " before it"
        )


def read_change_counter(connection: Connection) -> int:
    """As `change_counter`, inside a transaction."""
    highest = sa.select(sa.func.coalesce(sa.func.max(_M.seq), 0)).scalar_subquery()
    query = sa.select(tables.state.c.changes + highest)
    return int(connection.execute(query).scalar_one())


def _commit(manifest: Manifest, added: list[str]) -> sa.Insert:
    """Return the one statement of a commit; it changes no row if any condition fails."""
    others = tables.manifests.alias("others")
    next_seq = sa.select(sa.func.coalesce(sa.func.max(others.c.seq), 0) + 1)
    latest = sa.select(sa.func.coalesce(sa.func.max(others.c.version), 0)).where(
        others.c.collection_id == manifest.collection_id
    )
    live = sa.select(_C.id).where(_C.id == manifest.collection_id, _C.live_name.is_not(None))
    chosen = (
        sa.select(
            next_seq.scalar_subquery(),
            sa.literal(manifest.collection_id, sa.BigInteger),
            sa.literal(manifest.version, sa.BigInteger),
            sa.literal(manifest.generation, sa.BigInteger),
            sa.literal(manifest.complete_to, sa.BigInteger),
            sa.literal(manifest.to_json(), sa.Text),
        )
        .select_from(tables.lease)
        .where(
            _L.generation == manifest.generation,
            latest.scalar_subquery() == manifest.version - 1,
            live.exists(),
        )
        .with_for_update()
    )
    if added:
        chosen = chosen.where(~sa.select(_D.path).where(_D.path.in_(added)).exists())
    columns = ["seq", "collection_id", "version", "generation", "complete_to", "body"]
    return sa.insert(tables.manifests).from_select(columns, chosen)


def _select() -> sa.Select[tuple[int, int, str]]:
    return sa.select(_M.collection_id, _M.version, _M.body)


def _manifest(row: sa.Row[tuple[int, int, str]]) -> Manifest:
    where = f"manifest of collection {row.collection_id} version {row.version}"
    return Manifest.from_json(row.body, where)
