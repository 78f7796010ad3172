"""The volume's own settings: the JSON that JuiceFS calls the format.

Written as JuiceFS writes it (one element a line, no indentation), read from any JSON.  Fields this
Roost does not know are kept and written back.
Source: JuiceFS Community 1.4, pkg/meta/config.go; the volume format reference, section 1.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from roost.errors import CorruptRecord, InvalidArgument, NewerFormat, Unsupported
from roost.sizes import KIB

META_VERSION = 1
SPEAKS_VERSION = "1.4.2"  # the JuiceFS release whose stored form this is
MIN_CLIENT_VERSION = "1.1.0-A"  # what JuiceFS asks of the clients of a plain volume
ACL_CLIENT_VERSION = "1.2.0-A"  # and of one with ACLs
TIER_CLIENT_VERSION = "1.4.0-A"  # and of one with tiers
COMPRESSIONS = ("", "none", "lz4", "zstd")
ENCRYPTIONS = ("", "aes256gcm-rsa", "chacha20-rsa", "sm4gcm")
BLOCK_KIB_MIN, BLOCK_KIB_MAX = 64, 16384
REMOVED = "removed"  # stands for a secret in the settings of a dump
TIER_MAX = 3

_NAME = re.compile(r"[a-z0-9][a-z0-9\-]{1,61}[a-z0-9]")
_WHERE = "volume settings"
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Tier:
    """Where new objects go inside the bucket: a storage class, and one "key=value" or nothing."""

    id: int
    storage_class: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class VolumeSettings:
    """What a volume is.  `unknown` holds the fields of other clients as (name, JSON text)."""

    name: str
    uuid: str
    storage: str = "file"
    storage_class: str = ""  # of volumes before tiers
    tiers: tuple[Tier, ...] = (Tier(0),)
    bucket: str = ""  # of `file`: an absolute directory with a trailing slash
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    block_kib: int = 4096
    compression: str = "none"
    shards: int = 0
    hash_prefix: bool = False
    capacity_bytes: int = 0  # 0: unlimited
    inodes_max: int = 0  # 0: unlimited
    encrypt_key: str = field(default="", repr=False)
    encrypt_algo: str = "aes256gcm-rsa"
    key_encrypted: bool = False
    upload_mbps: int = 0  # of each client; 0: unlimited
    download_mbps: int = 0
    trash_days: int = 1
    meta_version: int = META_VERSION
    min_client_version: str = MIN_CLIENT_VERSION
    max_client_version: str = ""
    dir_stats: bool = True
    user_group_quota: bool = False
    enable_acl: bool = False
    change_log: bool = False
    unknown: tuple[tuple[str, str], ...] = ()

    @property
    def block_bytes(self) -> int:
        """Bytes of a full block."""
        return self.block_kib * KIB

    @property
    def is_encrypted(self) -> bool:
        """True if blocks are encrypted: a key decides, not the name of an algorithm."""
        return bool(self.encrypt_key)

    def tier(self, number: int = 0) -> Tier:
        """Return a tier; one that is not defined is the default one."""
        known = {tier.id: tier for tier in self.tiers}
        default = known.get(0, Tier(0))
        if not default.storage_class:
            default = replace(default, storage_class=self.storage_class)
        return default if number == 0 else known.get(number, default)

    @property
    def codec(self) -> str:
        """The compression of blocks: "", "lz4" or "zstd"."""
        return "" if self.compression == "none" else self.compression


def new_settings(
    name: str,
    *,
    storage: str = "file",
    bucket: str = "",
    block_kib: int = 4096,
    compression: str = "none",
    trash_days: int = 1,
) -> VolumeSettings:
    """Return checked settings of a new volume with a fresh UUID.

    `block_kib` is rounded down to a power of two and clamped, as JuiceFS does.
    Raises InvalidArgument for a name, compression or number that can never be right.
    """
    if block_kib < 1 or trash_days < 0:
        raise InvalidArgument("block size and trash days must not be negative")
    rounded = 1 << (block_kib.bit_length() - 1)
    if storage == "file" and not bucket.endswith("/"):
        bucket += "/"
    made = VolumeSettings(
        name=name,
        uuid=str(uuid4()),
        storage=storage,
        bucket=bucket,
        block_kib=min(max(rounded, BLOCK_KIB_MIN), BLOCK_KIB_MAX),
        compression=compression,
        trash_days=trash_days,
    )
    if _NAME.fullmatch(name) is None:
        raise InvalidArgument(
            f"bad volume name {name!r}",
            hint="Use 3 to 63 of a-z, 0-9 and -, not starting or ending with -.",
        )
    if compression not in COMPRESSIONS:
        raise InvalidArgument(f"unknown compression {compression!r}", hint="Use none, lz4 or zstd.")
    return made


# (JSON field, attribute, written even when empty), in the order JuiceFS writes them.
_FIELDS: tuple[tuple[str, str, bool], ...] = (
    ("Name", "name", True),
    ("UUID", "uuid", True),
    ("Storage", "storage", True),
    ("StorageClass", "storage_class", False),
    ("Tiers", "tiers", True),
    ("Bucket", "bucket", True),
    ("AccessKey", "access_key", False),
    ("SecretKey", "secret_key", False),
    ("SessionToken", "session_token", False),
    ("BlockSize", "block_kib", True),
    ("Compression", "compression", False),
    ("Shards", "shards", False),
    ("HashPrefix", "hash_prefix", False),
    ("Capacity", "capacity_bytes", False),
    ("Inodes", "inodes_max", False),
    ("EncryptKey", "encrypt_key", False),
    ("EncryptAlgo", "encrypt_algo", False),
    ("KeyEncrypted", "key_encrypted", False),
    ("UploadLimit", "upload_mbps", False),
    ("DownloadLimit", "download_mbps", False),
    ("TrashDays", "trash_days", True),
    ("MetaVersion", "meta_version", False),
    ("MinClientVersion", "min_client_version", False),
    ("MaxClientVersion", "max_client_version", False),
    ("DirStats", "dir_stats", False),
    ("UserGroupQuota", "user_group_quota", False),
    ("EnableACL", "enable_acl", True),
    ("RangerRestUrl", "", False),
    ("RangerService", "", False),
    ("ChangeLog", "change_log", False),
)
_ATTRIBUTES = {json_name: attribute for json_name, attribute, _ in _FIELDS if attribute}
_DEFAULTS = VolumeSettings(name="", uuid="")
# What an absent field means in stored settings, where that differs from a new volume's default.
_ABSENT: dict[str, Any] = {
    "compression": "",
    "encrypt_algo": "",
    "min_client_version": "",
    "dir_stats": False,
    "trash_days": 0,
}


def encode_settings(settings: VolumeSettings) -> str:
    """Return the JSON text, byte for byte as JuiceFS writes it for a plain volume."""
    unknown = {name: json.loads(text) for name, text in settings.unknown}
    document: dict[str, Any] = {}
    for json_name, attribute, always in _FIELDS:
        if not attribute:
            if json_name in unknown:
                document[json_name] = unknown.pop(json_name)
            continue
        value = getattr(settings, attribute)
        if attribute == "tiers":
            value = _tiers_to_json(value)
        if always or value:
            document[json_name] = value
    document.update(unknown)
    text = json.dumps(document, indent=0, ensure_ascii=False)
    # Go writes these three escaped inside strings, where alone they can occur in JSON.
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def decode_settings(text: str) -> VolumeSettings:
    """Undo `encode_settings`.

    Raises CorruptRecord if `text` is no JSON object of settings, NewerFormat if its metadata
    version is newer.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise CorruptRecord(_WHERE, f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise CorruptRecord(_WHERE, "not a JSON object")
    known: dict[str, Any] = dict(_ABSENT)
    unknown = []
    for json_name, value in document.items():
        attribute = _ATTRIBUTES.get(json_name)
        if attribute is None:
            unknown.append((json_name, json.dumps(value)))
            continue
        if attribute == "tiers":
            known[attribute] = _tiers_from_json(value)
            continue
        wanted = type(getattr(_DEFAULTS, attribute))
        if type(value) is not wanted:
            raise CorruptRecord(_WHERE, f"{json_name} is {value!r}, not a {wanted.__name__}")
        known[attribute] = value
    for needed in ("name", "uuid", "block_kib"):
        if not known.get(needed):
            raise CorruptRecord(_WHERE, f"{needed} is missing")
    settings = VolumeSettings(**known, unknown=tuple(unknown))
    if settings.meta_version > META_VERSION:
        raise NewerFormat(_WHERE, settings.meta_version, META_VERSION)
    return settings


def _tiers_to_json(tiers: tuple[Tier, ...]) -> dict[str, Any]:
    return {
        str(tier.id): {"ID": tier.id, "StorageClass": tier.storage_class, "Tag": tier.tag}
        for tier in sorted(tiers, key=lambda tier: tier.id)
    }


def _tiers_from_json(value: object) -> tuple[Tier, ...]:
    if value is None or value == {}:
        return (Tier(0),)
    damage = CorruptRecord(_WHERE, f"Tiers is {value!r}")
    if not isinstance(value, dict):
        raise damage
    try:
        tiers = tuple(
            Tier(int(tier["ID"]), str(tier.get("StorageClass", "")), str(tier.get("Tag", "")))
            for tier in value.values()
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damage from error
    if list(value) != [str(tier.id) for tier in tiers]:
        raise damage
    return tiers


def check_opening(settings: VolumeSettings, *, read_only: bool) -> None:
    """Refuse a volume that this Roost must not open, or must not write to.

    Raises Unsupported, naming what stands in the way.
    """
    mine = _version_key(SPEAKS_VERSION)
    if settings.min_client_version and mine < _version_key(settings.min_client_version):
        raise Unsupported(
            f"the volume asks for clients from {settings.min_client_version},"
            f" this Roost writes as {SPEAKS_VERSION} does",
            hint="Use a newer Roost, or lower it: juicefs config META-URL --min-client-version V.",
        )
    if settings.max_client_version and mine > _version_key(settings.max_client_version):
        raise Unsupported(
            f"the volume asks for clients up to {settings.max_client_version},"
            f" this Roost writes as {SPEAKS_VERSION} does",
            hint="Raise it: juicefs config META-URL --max-client-version V.",
        )
    if settings.compression not in COMPRESSIONS:
        raise Unsupported(f"unknown compression {settings.compression!r}")
    if settings.is_encrypted and settings.encrypt_algo not in ENCRYPTIONS:
        raise Unsupported(f"unknown encryption {settings.encrypt_algo!r}")
    if settings.change_log and not read_only:
        raise Unsupported(
            "the volume keeps a change log, which this Roost does not write",
            hint="Open it read-only, or write with the juicefs client.",
        )


def later_version(one: str, other: str) -> str:
    """Return the later of two versions; "" is the earliest.  Raises InvalidArgument for another."""
    try:
        return max(one, other, key=lambda text: _version_key(text or "0"))
    except CorruptRecord as error:
        raise InvalidArgument(str(error).removeprefix(f"{_WHERE}: ")) from error


def _version_key(text: str) -> tuple[int, int, int, bool, str]:
    """Return a key that orders versions; an empty pre-release is the newest of its number."""
    core, _, pre = text.partition("+")[0].partition("-")
    try:
        numbers = [int(part) for part in core.split(".")[:3]]
    except ValueError as error:
        raise CorruptRecord(_WHERE, f"not a version: {text!r}") from error
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch, pre == "", pre


def open_secrets(settings: VolumeSettings) -> VolumeSettings:
    """Return the settings with the secret key, session token and encryption key in plain text.

    A secret that a dump left out stays the word `removed`.
    Raises CorruptRecord if one does not decrypt, Unsupported for SM4.
    """
    if not settings.key_encrypted:
        return settings
    cipher = _secret_cipher(settings)

    def opened(value: str) -> str:
        if not value or value == REMOVED:
            return value
        try:
            raw = base64.b64decode(value, validate=True)
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None).decode()
        except (ValueError, InvalidTag) as error:
            raise CorruptRecord(_WHERE, "a secret does not decrypt") from error

    return _with_secrets(settings, opened, sealed=False)


def seal_secrets(settings: VolumeSettings) -> VolumeSettings:
    """Undo `open_secrets`; settings without secrets stay as they are.

    Whoever reads the metadata can open them: this keeps them out of sight, no more.
    """
    secrets = (settings.secret_key, settings.session_token, settings.encrypt_key)
    if settings.key_encrypted or not any(secrets):
        return settings
    cipher = _secret_cipher(settings)

    def sealed(value: str) -> str:
        if not value or value == REMOVED:
            return value
        nonce = os.urandom(_NONCE_BYTES)
        return base64.b64encode(nonce + cipher.encrypt(nonce, value.encode(), None)).decode()

    return _with_secrets(settings, sealed, sealed=True)


def hide_secrets(settings: VolumeSettings) -> VolumeSettings:
    """Return the settings as they may be shown: each secret is the word `removed`."""

    def hidden(value: str) -> str:
        return REMOVED if value else ""

    return _with_secrets(settings, hidden, sealed=settings.key_encrypted)


def _secret_cipher(settings: VolumeSettings) -> AESGCM:
    if settings.encrypt_algo == "sm4gcm":
        raise Unsupported("secrets encrypted with SM4")
    return AESGCM(hashlib.md5(settings.uuid.encode(), usedforsecurity=False).digest())


def _with_secrets(
    settings: VolumeSettings, change: Callable[[str], str], *, sealed: bool
) -> VolumeSettings:
    return replace(
        settings,
        secret_key=change(settings.secret_key),
        session_token=change(settings.session_token),
        encrypt_key=change(settings.encrypt_key),
        key_encrypted=sealed,
    )
