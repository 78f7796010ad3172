"""The lease of this client's session, and commits that must not outlive it.

What a session holds, locks and nameless files, is found and cleaned up by the session's row alone.
So a commit that adds to it makes sure of the row when the lease may be over, for then others may
have removed it: a client that dies before its next heartbeat leaves nothing that nobody finds.
"""

import json
import os
import socket
from datetime import UTC, datetime

from roost.volume.meta.effects import PutSession
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.txn import Txn
from roost.volume.model import NO_SESSION, Session
from roost.volume.settings import SPEAKS_VERSION

HEARTBEAT_S = 12
LEASE_S = 5 * HEARTBEAT_S
SURE_S = LEASE_S // 2  # so long after a renewal the row is there, whatever the others' clocks say


def session_info(mount_point: str, now_s: int) -> bytes:
    """Return the JSON that `status` shows of a session; JuiceFS parses version and time."""
    started = datetime.fromtimestamp(now_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(
        {
            "Version": f"{SPEAKS_VERSION}+roost",
            "HostName": socket.gethostname(),
            "IPAddrs": [],
            "MountPoint": mount_point,
            "MountTime": started,
            "ProcessID": os.getpid(),
        },
        separators=(",", ":"),
    ).encode()


def renewed(txn: Txn, volume: OpenVolume) -> PutSession:
    """Return what renews the lease of the volume's session, or registers it again."""
    return PutSession(Session(volume.sid, txn.now_s + LEASE_S, volume.session_info))


def make_sure(txn: Txn, volume: OpenVolume) -> None:
    """See to it that what this commit adds to the session has a row that leads to it."""
    if volume.sid != NO_SESSION and txn.now_s - volume.renewed_s > SURE_S:
        txn.do(renewed(txn, volume))
