"""The heartbeat of a session: the lease is renewed, settings and quotas are read again.

One thread per session.  A heartbeat that fails is logged and tried again at the next; a volume that
was replaced by another ends the session for good.
"""

import logging
import threading

from roost.errors import CorruptRecord, RoostError
from roost.volume.errors import VolumeReplaced
from roost.volume.meta import quotas, sessions
from roost.volume.meta.claim import own_settings
from roost.volume.meta.leases import HEARTBEAT_S
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.settings import VolumeSettings, open_secrets

log = logging.getLogger(__name__)


class Heartbeat:
    """Keeps one session alive until `stop`."""

    def __init__(self, volume: OpenVolume) -> None:
        self._volume = volume
        self._stopping = threading.Event()
        self.lost: VolumeReplaced | None = None  # why the volume may no longer be used
        self._thread = threading.Thread(target=self._work, name="roost-session", daemon=True)

    def start(self) -> None:
        """Begin beating."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the session itself is not touched."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._volume.clock.wait(self._stopping, HEARTBEAT_S):
            try:
                self.beat()
            except VolumeReplaced as error:
                log.error("the volume was replaced: %s", error)
                self.lost = error
                return
            except RoostError as error:
                log.warning("heartbeat failed, trying again: %s", error)

    def beat(self) -> None:
        """Renew the lease, read settings and quotas, clean up after ended sessions.

        Raises VolumeReplaced if the database holds no volume or another one now.
        """
        self._volume.settings = read_again(self._volume)
        self._volume.quotas = quotas.load(self._volume.engine)
        sessions.renew(self._volume)
        if sessions.claim_cleanup(self._volume, sessions.LAST_CLEANUP, sessions.CLEANUP_EVERY_S):
            sessions.clean_stale(self._volume)


def read_again(volume: OpenVolume) -> VolumeSettings:
    """Return the settings as stored now, secrets in plain text.  Raises VolumeReplaced."""
    text = volume.engine.read(lambda reads: reads.setting())
    settings = own_settings(volume.settings.uuid, text)
    try:
        if settings is not None:
            return open_secrets(settings)
    except CorruptRecord as error:
        log.debug("a secret in the settings: %s", error)
    log.warning("the settings do not parse; those read before stay in force")
    return volume.settings
