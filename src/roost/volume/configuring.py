"""Changing the settings of a volume that exists: `roost config`, and `roost format` again.

First a plan, which changes nothing and says what a person should know; then its application: the
new bucket is proved, and the settings are replaced in one commit that demands that nobody changed
them meanwhile.
"""

import itertools
import json
from dataclasses import dataclass
from functools import partial

from roost.clock import Clock, SystemClock
from roost.errors import InvalidArgument, Unavailable
from roost.volume.bucket import demand_own, prove
from roost.volume.engines.registry import parse_url
from roost.volume.errors import NotFormatted
from roost.volume.meta.effects import AddNode, PutDirUsage, PutSetting
from roost.volume.meta.opening import open_engine
from roost.volume.meta.txn import Engine, Txn
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE
from roost.volume.model import (
    DIRECTORY_LENGTH_BYTES,
    ROOT,
    TRASH,
    Attr,
    Kind,
    QuotaKind,
)
from roost.volume.setting_change import SettingsChange, changed
from roost.volume.settings import (
    SPEAKS_VERSION,
    Tier,
    VolumeSettings,
    decode_settings,
    encode_settings,
    later_version,
    open_secrets,
    seal_secrets,
)
from roost.volume.storage import volume_store

_USAGE_AT_ONCE = 1000
_SECRETS = ("secret_key", "session_token")
_STORAGE = ("storage", "bucket", "access_key", "secret_key", "session_token", "tiers")


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting before and after, as it may be shown."""

    setting: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """What a change would do.  `warnings` are for a person to agree to before it is applied."""

    before: VolumeSettings  # secrets in plain text
    after: VolumeSettings
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]
    stored: str  # the text that `before` was read from
    seals: bool  # store secrets encrypted

    @property
    def moves_storage(self) -> bool:
        """True if objects will be found or stored elsewhere or otherwise."""
        return any(getattr(self.before, name) != getattr(self.after, name) for name in _STORAGE)

    @property
    def moves_bucket(self) -> bool:
        """True if the objects are looked for in another place."""
        return (self.before.storage, self.before.bucket) != (self.after.storage, self.after.bucket)


def read_stored(meta_url: str, *, clock: Clock | None = None) -> VolumeSettings:
    """Return the settings as they are stored, of any volume that parses.

    Raises NotFormatted, CorruptRecord, NewerFormat, InvalidArgument, Unavailable.
    """
    engine = open_engine(meta_url, clock or SystemClock(), read_only=True)
    try:
        return decode_settings(_text(engine, meta_url))
    finally:
        engine.close()


def plan_change(meta_url: str, change: SettingsChange, *, clock: Clock | None = None) -> ChangePlan:
    """Return what `change` would do.

    Raises InvalidArgument for what can never be right or never changes; Unsupported; and as
    `read_stored`.
    """
    engine = open_engine(meta_url, clock or SystemClock(), read_only=True)
    try:
        stored = _text(engine, meta_url)
        sealed = decode_settings(stored)
        before = open_secrets(sealed)
        after = changed(before, change)
        return ChangePlan(
            before=before,
            after=after,
            differences=_differences(sealed, before, after, change),
            warnings=_warnings(engine, before, after),
            stored=stored,
            seals=sealed.key_encrypted or change.encrypt_secret,
        )
    finally:
        engine.close()


def apply_change(
    meta_url: str, plan: ChangePlan, *, force: bool = False, clock: Clock | None = None
) -> VolumeSettings:
    """Store what was planned and return the settings, secrets in plain text.

    Unless `force`, a new storage is proved first, and a new bucket must be marked for the volume.
    Raises AlreadyExists, NotFound, InvalidArgument; Unavailable, also if the settings changed
    since the plan.
    """
    if plan.moves_storage and not force:
        store = volume_store(plan.after)
        if plan.moves_bucket:  # before anything is written there
            demand_own(store, plan.after)
        prove(store, plan.after)
    new = encode_settings(seal_secrets(plan.after) if plan.seals else plan.after)

    def put(txn: Txn) -> None:
        if txn.setting() != plan.stored:
            raise Unavailable(
                "the settings were changed by somebody else meanwhile",
                hint="Look at them with `roost config META-URL`, then try again.",
            )
        lacks_trash = plan.after.trash_days > 0 and txn.node(TRASH) is None
        txn.do(PutSetting(new))
        if lacks_trash:
            txn.do(AddNode(TRASH, _trash(txn.now_ns)))

    engine = open_engine(meta_url, clock or SystemClock(), read_only=False)
    try:
        if plan.after.dir_stats and not plan.before.dir_stats:
            _drop_usage(engine)
        engine.run(put)
    finally:
        engine.close()
    return plan.after


def _differences(
    stored: VolumeSettings, before: VolumeSettings, after: VolumeSettings, change: SettingsChange
) -> tuple[Difference, ...]:
    found = []
    for name in after.__dataclass_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if name in _SECRETS:
            if getattr(change, name) is not None:  # always: it may not be told which it was
                found.append(Difference(name, "", "updated"))
        elif old != new:
            found.append(Difference(name, _shown(old), _shown(new)))
    if change.encrypt_secret and not stored.key_encrypted:
        found.append(Difference("encrypt_secret", "", "secrets are stored encrypted"))
    return tuple(found)


def _warnings(engine: Engine, before: VolumeSettings, after: VolumeSettings) -> tuple[str, ...]:
    """Return what a person should agree to.  Raises InvalidArgument for lost directory quotas."""
    found = []
    with engine.scan() as scans:
        if before.dir_stats and not after.dir_stats:
            count = sum(kind is QuotaKind.DIRECTORY for kind, _, _ in scans.quotas())
            if count:
                raise InvalidArgument(
                    f"directory statistics are needed by {count} directory quotas",
                    hint="Remove the quotas first: roost quota ls, roost quota rm.",
                )
        if after != before:
            used = (scans.counter(USED_SPACE) or 0, scans.counter(TOTAL_INODES) or 0)
            found += _quota_warnings(before, after, used)
            found += _version_warnings(before, after, [s.info for s in scans.sessions()])
    if before.trash_days > 0 and after.trash_days == 0:
        found.append("The trash will be emptied, and what is removed will be gone at once.")
    return tuple(found)


def _quota_warnings(
    before: VolumeSettings, after: VolumeSettings, used: tuple[int, int]
) -> list[str]:
    if (before.capacity_bytes, before.inodes_max) == (after.capacity_bytes, after.inodes_max):
        return []
    space, inodes = used
    if (after.capacity_bytes and space >= after.capacity_bytes) or (
        after.inodes_max and inodes >= after.inodes_max
    ):
        return [
            f"The volume is full by the new limits: {space} of {after.capacity_bytes} bytes, "
            f"{inodes} of {after.inodes_max} inodes."
        ]
    return []


def _version_warnings(
    before: VolumeSettings, after: VolumeSettings, sessions: list[bytes]
) -> list[str]:
    limits = (after.min_client_version, after.max_client_version)
    if limits == (before.min_client_version, before.max_client_version):
        return []
    least, most = limits
    found = []
    for version, who in [(SPEAKS_VERSION, "this Roost"), *map(_client, sessions)]:
        too_old = later_version(version, least) != version
        too_new = bool(most) and later_version(version, most) != most
        if too_old or too_new:
            found.append(f"{who} ({version}) will be refused.")
    return found


def _client(info: bytes) -> tuple[str, str]:
    try:
        known = json.loads(info)
        version = str(known["Version"]).partition("+")[0].split(" ")[0]
        later_version("", version)
    except (ValueError, KeyError, TypeError, InvalidArgument):
        return SPEAKS_VERSION, "a client that does not say its version"
    return version, f"the client on {known.get('HostName', '?')}, pid {known.get('ProcessID', '?')}"


def _drop_usage(engine: Engine) -> None:
    """Forget directory statistics that nobody kept up while they were off."""
    while True:
        with engine.scan() as scans:
            known = list(itertools.islice(scans.all_dir_usage(), _USAGE_AT_ONCE))
        if not known:
            return
        engine.run(partial(_drop, drops=[PutDirUsage(ino, None) for ino, _ in known]))


def _drop(txn: Txn, drops: list[PutDirUsage]) -> None:
    txn.do(*drops)


def _trash(now_ns: int) -> Attr:
    return Attr(
        kind=Kind.DIRECTORY,
        mode=0o555,
        atime_ns=now_ns,
        mtime_ns=now_ns,
        ctime_ns=now_ns,
        nlink=2,
        length=DIRECTORY_LENGTH_BYTES,
        parent=ROOT,
    )


def _text(engine: Engine, meta_url: str) -> str:
    text = engine.read(lambda reads: reads.setting())
    if text is None:
        raise NotFormatted(f"no volume at {parse_url(meta_url).display}")
    return text


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(
            f"{tier.id}: {tier.storage_class or 'default'} {tier.tag}".strip()
            for tier in value
            if isinstance(tier, Tier)
        )
    return str(value)
