"""The access log of a volume's client in process: what a mount writes to `.accesslog`.

    with AccessLog(Path("/tmp/access.log")) as log, VolumeClient.open(url) as client:
        log_operations(client, log)

Every call of the client and of the files it opens is then one line; `roost profile` reads them.
A call made inside another, as `read` opens a file, has a line of its own too.
"""

import os
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from roost.telemetry.access_log import AccessLog
from roost.volume.client import VolumeClient
from roost.volume.errors import FsError
from roost.volume.vfs.handles import VolumeFile

CLIENT_OPERATIONS = {
    "open_file": "open",
    "truncate": "truncate",
    "adopt": "adopt",
    "open_local": "open_local",
    "rename": "rename",
    "link": "link",
    "symlink": "symlink",
    "readlink": "readlink",
    "mkdir": "mkdir",
    "remove": "unlink",
    "rmdir": "rmdir",
    "readdir": "readdir",
    "node": "getattr",
    "setattr": "setattr",
    "getxattr": "getxattr",
    "listxattr": "listxattr",
    "setxattr": "setxattr",
    "removexattr": "removexattr",
    "statfs": "statfs",
}
"""The client's method -> what the log calls it."""
FILE_OPERATIONS = {
    "pread": "read",
    "preadinto": "read",
    "pwrite": "write",
    "append": "append",
    "fsync": "fsync",
    "truncate": "truncate",
    "close": "release",
}
SHOWN_CHARACTERS = 200
"""Of an operation's arguments."""


def log_operations(client: VolumeClient, log: AccessLog) -> None:
    """Write a line for each operation of this client from now on, and of files it opens."""
    who = f"uid:{os.geteuid()},gid:{os.getegid()},pid:{os.getpid()}"

    def logged(call: Callable[..., Any], operation: str) -> Callable[..., Any]:
        @wraps(call)
        def run(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            outcome = "OK"
            try:
                answer = call(*arguments, **options)
            except FsError as error:
                outcome = os.strerror(error.errno or 0).lower()
                raise
            except BaseException as error:
                outcome = type(error).__name__
                raise
            finally:
                took = time.perf_counter() - start
                log.write(who, operation, _shown(arguments), outcome, took)
            if isinstance(answer, VolumeFile):
                _wrap(answer, FILE_OPERATIONS, logged)
            return answer

        return run

    _wrap(client, CLIENT_OPERATIONS, logged)


def _wrap(
    target: object,
    operations: dict[str, str],
    logged: Callable[[Callable[..., Any], str], Callable[..., Any]],
) -> None:
    """Put logging calls before the methods of one object."""
    for method, operation in operations.items():
        setattr(target, method, logged(getattr(target, method), operation))


def _shown(arguments: tuple[Any, ...]) -> str:
    """Return the arguments in short; of bytes only how many there are."""
    words = [
        str(memoryview(one).nbytes) if isinstance(one, bytes | bytearray | memoryview) else str(one)
        for one in arguments
    ]
    return ",".join(words)[:SHOWN_CHARACTERS]
