"""What stands before the trees of a JSON dump: settings, counters, and what is small."""

import json
from dataclasses import replace

from roost.volume.meta.open_volume import NEXT_INO, NEXT_SLICE
from roost.volume.meta.reads import Scans
from roost.volume.meta.sessions import NEXT_SESSION
from roost.volume.meta.trash import NEXT_TRASH
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE
from roost.volume.model import QuotaKind
from roost.volume.settings import VolumeSettings, encode_settings

_REMOVED = "removed"  # what JuiceFS writes in the place of a secret


def head_text(scans: Scans, settings: VolumeSettings, *, keep_secrets: bool) -> str:
    """Return everything before the tree, with the comma behind it."""
    if not keep_secrets:
        settings = replace(
            settings,
            secret_key=_REMOVED if settings.secret_key else "",
            session_token=_REMOVED if settings.session_token else "",
            encrypt_key=_REMOVED if settings.encrypt_key else "",
        )

    def counter(name: str) -> int:
        return scans.counter(name) or 0

    sustained: dict[int, list[int]] = {}
    for sid, ino in scans.all_sustained():
        sustained.setdefault(sid, []).append(ino)
    document: dict[str, object] = {
        "Setting": json.loads(encode_settings(settings)),
        "Counters": {
            "usedSpace": counter(USED_SPACE),
            "usedInodes": counter(TOTAL_INODES),
            "nextInodes": counter(NEXT_INO),
            "nextChunk": counter(NEXT_SLICE),
            "nextSession": counter(NEXT_SESSION),
            "nextTrash": counter(NEXT_TRASH),
        },
        "Sustained": [{"sid": sid, "inodes": inos} for sid, inos in sustained.items()],
        "DelFiles": [
            {"inode": one.ino, "length": one.length, "expire": one.deleted_s}
            for one in scans.all_deleted_files()
        ],
    }
    names = {
        QuotaKind.DIRECTORY: "Quotas",
        QuotaKind.USER: "UserQuotas",
        QuotaKind.GROUP: "GroupQuotas",
    }
    for kind, name in names.items():
        limits = {
            str(key): {"maxSpace": quota.space_bytes_max, "maxInodes": quota.inodes_max}
            for found, key, quota in scans.quotas()
            if found is kind and (quota.space_bytes_max > 0 or quota.inodes_max > 0)
        }
        if limits:
            document[name] = dict(sorted(limits.items()))
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return text.removesuffix("\n}") + ","
