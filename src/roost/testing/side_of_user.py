"""Operations on a folder of the system by another user: a process of its own gives up its rights.

The process is started by root.  It enters the folder as root, since the folders above may be closed
to the user, and does the operation there as the user.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from roost.testing.sides import PosixSide
from roost.volume.model import RenameFlag


class UserProcess:
    """A process that acts for a user, started by root."""

    def __init__(self, uid: int, gid: int, groups: list[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(uid), str(gid), *map(str, groups)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def do(self, top: Path, verb: str, *arguments: object) -> Any:
        """Do one of Side's verbs in the folder `top`.  Raises OSError as the user would get it."""
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answered is not None
        pickle.dump((top, verb, arguments), asked)
        asked.flush()
        number, answer = pickle.load(answered)
        if number:
            raise OSError(number, os.strerror(number))
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def __enter__(self) -> "UserProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class UserSide:
    """A folder of the system as the user of a process sees it; all verbs of Side but `tree`."""

    def __init__(self, process: UserProcess, top: Path) -> None:
        self._process = process
        self._top = top

    def _do(self, verb: str, *arguments: object) -> Any:
        return self._process.do(self._top, verb, *arguments)

    def write(self, path: str, offset: int, data: bytes) -> None:
        """As in Side."""
        self._do("write", path, offset, data)

    def append(self, path: str, data: bytes) -> None:
        """As in Side."""
        self._do("append", path, data)

    def truncate(self, path: str, length: int) -> None:
        """As in Side."""
        self._do("truncate", path, length)

    def fallocate(self, path: str, mode: int, offset: int, size_bytes: int) -> None:
        """As in Side."""
        self._do("fallocate", path, mode, offset, size_bytes)

    def copy_range(self, source: str, offset: int, target: str, to: int, size_bytes: int) -> int:
        """As in Side."""
        return int(self._do("copy_range", source, offset, target, to, size_bytes))

    def mkdir(self, path: str, mode: int) -> None:
        """As in Side."""
        self._do("mkdir", path, mode)

    def rmdir(self, path: str) -> None:
        """As in Side."""
        self._do("rmdir", path)

    def unlink(self, path: str) -> None:
        """As in Side."""
        self._do("unlink", path)

    def rename(self, path: str, new_path: str, flags: RenameFlag) -> None:
        """As in Side."""
        self._do("rename", path, new_path, flags)

    def link(self, path: str, new_path: str) -> None:
        """As in Side."""
        self._do("link", path, new_path)

    def symlink(self, target: str, path: str) -> None:
        """As in Side."""
        self._do("symlink", target, path)

    def chmod(self, path: str, mode: int) -> None:
        """As in Side."""
        self._do("chmod", path, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """As in Side."""
        self._do("chown", path, uid, gid)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """As in Side."""
        self._do("set_mtime", path, mtime_ns)

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        """As in Side."""
        self._do("setxattr", path, name, value)

    def removexattr(self, path: str, name: str) -> None:
        """As in Side."""
        self._do("removexattr", path, name)


def _serve(asked: BinaryIO, answered: BinaryIO, uid: int, gid: int) -> None:
    side = PosixSide(Path())
    while True:
        try:
            top, verb, arguments = pickle.load(asked)
        except EOFError:
            return
        os.chdir(top)
        _become(uid, gid)
        try:
            answer = 0, getattr(side, verb)(*arguments)
        except OSError as error:
            answer = error.errno or 0, None
        finally:
            _become(0, 0)
            os.chdir("/")  # a file system in use could not be unmounted
        pickle.dump(answer, answered)
        answered.flush()


def _become(uid: int, gid: int) -> None:
    """Change whose rights count; the process stays root's, to change them again."""
    os.seteuid(0)
    os.setegid(gid)
    os.seteuid(uid)


if __name__ == "__main__":
    os.setgroups([int(group) for group in sys.argv[3:]])
    _serve(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]), int(sys.argv[2]))
