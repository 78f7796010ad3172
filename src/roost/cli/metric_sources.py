"""Where `roost stats` reads numbers: a mount's `.stats`, a Prometheus address, or the metadata."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from roost.errors import InvalidArgument, Unavailable
from roost.volume.meta.api import Meta

STATS = ".stats"
WAIT_S = 5.0
Numbers = dict[str, float]
"""Name of a metric -> its value; labels are joined to the name by `_`."""
Source = Callable[[], Numbers]


def mount_source(path: Path) -> Source:
    """Return a reader of the mount that holds `path`.  Raises InvalidArgument if it is none."""
    top = path.absolute()
    while not os.path.ismount(top) and top != top.parent:
        top = top.parent
    file = top / STATS
    if not file.exists():
        raise InvalidArgument(
            f"{path} is not on a mount that tells numbers",
            hint="Name a JuiceFS mount, the address of a process's metrics, or a META-URL.",
        )
    return lambda: _of_lines(file.read_text())


def address_source(url: str) -> Source:
    """Return a reader of a process's metrics: `http://127.0.0.1:9091`."""
    full = url if url.rpartition("/")[2] == "metrics" else f"{url.rstrip('/')}/metrics"

    def read() -> Numbers:
        try:
            with urllib.request.urlopen(full, timeout=WAIT_S) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.URLError) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(f"{full} does not answer: {reason}") from error
        return {
            "_".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    return read


def meta_source(meta: Meta) -> Source:
    """Return a reader of what the metadata itself counts, for all clients together."""

    def read() -> Numbers:
        usage = meta.statfs()
        return {
            "volume_used_bytes": float(usage.used_bytes),
            "volume_used_inodes": float(usage.used_inodes),
            "volume_slices": float(meta.highest_slice_id()),
            "volume_sessions": float(len(meta.sessions())),
        }

    return read


def _of_lines(text: str) -> Numbers:
    found: Numbers = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        try:
            found[name] = float(value)
        except ValueError:
            continue
    return found
