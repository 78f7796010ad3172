"""Making and opening volumes by the URL of their metadata; `engines.registry` reads the URL."""

from roost.clock import Clock
from roost.volume.engines.memory_opening import drop_memory_volume
from roost.volume.engines.registry import engine_kind, new_engine, parse_url
from roost.volume.errors import AlreadyFormatted, NotFormatted
from roost.volume.meta.effects import AddNode, PutCounter, PutSetting
from roost.volume.meta.open_volume import FIRST_INO, FIRST_SLICE, NEXT_INO, NEXT_SLICE
from roost.volume.meta.sessions import NEXT_SESSION
from roost.volume.meta.txn import Engine, Txn
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE
from roost.volume.model import DIRECTORY_LENGTH_BYTES, ROOT, TRASH, Attr, Kind
from roost.volume.settings import VolumeSettings, check_opening, decode_settings, encode_settings

__all__ = [
    "drop_memory_volume",
    "fill",
    "format_database",
    "open_engine",
    "read_settings",
    "split_url",
]

_INITIAL_COUNTERS = {
    NEXT_INO: FIRST_INO,
    NEXT_SLICE: FIRST_SLICE,
    NEXT_SESSION: 0,
    USED_SPACE: 0,
    TOTAL_INODES: 0,
    "nextCleanupSlices": 0,
}


def format_database(meta_url: str, settings: VolumeSettings, clock: Clock) -> VolumeSettings:
    """Make a volume and return its settings; if that fails, no file is left that was made for it.

    Raises AlreadyFormatted; InvalidArgument for a bad URL; Unavailable.
    """
    with new_engine(parse_url(meta_url), clock) as engine:
        fill(engine, settings)
    return settings


def fill(engine: Engine, settings: VolumeSettings) -> None:
    """Store settings, root, trash and counters of a volume, in one commit."""

    def put(txn: Txn) -> None:
        if txn.setting() is not None:
            raise AlreadyFormatted("there is a volume already")
        txn.do(PutSetting(encode_settings(settings)))
        txn.do(AddNode(ROOT, _top(0o777, txn.now_ns)))
        if settings.trash_days > 0:
            txn.do(AddNode(TRASH, _top(0o555, txn.now_ns)))
        for name, value in _INITIAL_COUNTERS.items():
            txn.do(PutCounter(name, value))

    engine.run(put)


def _top(mode: int, now_ns: int) -> Attr:
    return Attr(
        kind=Kind.DIRECTORY,
        mode=mode,
        atime_ns=now_ns,
        mtime_ns=now_ns,
        ctime_ns=now_ns,
        nlink=2,
        length=DIRECTORY_LENGTH_BYTES,
        parent=ROOT,
    )


def open_engine(meta_url: str, clock: Clock, *, read_only: bool) -> Engine:
    """Open the store at `meta_url`; whether it holds a volume is for `read_settings` to say.

    Raises NotFormatted if there is no such file or no table; InvalidArgument; Unavailable.
    """
    url = parse_url(meta_url)
    return engine_kind(url).open_engine(url, clock, read_only=read_only)


def read_settings(engine: Engine, meta_url: str, *, read_only: bool) -> VolumeSettings:
    """Return the settings of a volume that this Roost may open so.

    Raises NotFormatted, Unsupported, NewerFormat, CorruptRecord.
    """
    text = engine.read(lambda reads: reads.setting())
    if text is None:
        raise NotFormatted(f"no volume at {meta_url}")
    settings = decode_settings(text)
    check_opening(settings, read_only=read_only)
    return settings


def split_url(meta_url: str) -> tuple[str, str]:
    """Return (scheme, place) of a metadata URL; password and options are left out.

    Raises InvalidArgument for another scheme or an empty place.
    """
    url = parse_url(meta_url)
    return url.scheme, url.path or url.display.partition("://")[2]
