"""A process that does metadata operations and tells how long they took; one line in, one line out.

It works on a volume in process (`roost META-URL`) or on a folder of a mount (`mount FOLDER`), so
that both sides of a bench run the same loops.  A job names an operation and how often each of
`threads` threads does it; the clock runs from the moment all threads stand ready to the last end.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from roost.volume.meta.api import Meta, open_meta
from roost.volume.model import ROOT, AttrChange, Ino

OPERATIONS = ("create", "mkdir", "setattr", "rename", "unlink")


@dataclass(frozen=True, slots=True)
class Job:
    """What to do: `operation` on `count` names per thread, in `folder` below the root."""

    operation: str
    folder: str
    count: int
    threads: int = 1
    tag: str = "f"
    """Begins every name; two jobs with different tags do not meet."""
    spread: bool = False
    """Each time in a folder of its own, FOLDER/0, FOLDER/1 …, which this process never read."""


class Work(Protocol):
    """One side: the operations by name within a folder that was entered before."""

    def enter(self, folder: str) -> int | str:
        """Make the folder unless it is there, and return what names it in the others."""

    def create(self, folder: int | str, name: str) -> None:
        """Create an empty file."""

    def mkdir(self, folder: int | str, name: str) -> None:
        """Make a directory."""

    def setattr(self, folder: int | str, name: str) -> None:
        """Change the mode of a file."""

    def rename(self, folder: int | str, name: str) -> None:
        """Give a file the name with ".r" appended, in the same folder."""

    def unlink(self, folder: int | str, name: str) -> None:
        """Remove the file whose name was appended ".r"."""


class MetaWork:
    """A volume in process.  A folder is its inode; files' inodes are kept, as a kernel would."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._inos: dict[tuple[int, str], Ino] = {}

    def enter(self, folder: str) -> int | str:
        """As in Work."""
        ino = ROOT
        for name in folder.strip("/").split("/"):
            known = {e.name: e.ino for e in self._meta.readdir(ino)}.get(name.encode())
            ino = known if known is not None else self._meta.mkdir(ino, name.encode()).ino
        return ino

    def create(self, folder: int | str, name: str) -> None:
        """As in Work."""
        node = self._meta.create(Ino(int(folder)), name.encode())
        self._inos[int(folder), name] = node.ino

    def mkdir(self, folder: int | str, name: str) -> None:
        """As in Work."""
        self._meta.mkdir(Ino(int(folder)), name.encode())

    def setattr(self, folder: int | str, name: str) -> None:
        """As in Work."""
        self._meta.setattr(self._inos[int(folder), name], AttrChange(mode=0o600))

    def rename(self, folder: int | str, name: str) -> None:
        """As in Work."""
        at = Ino(int(folder))
        self._meta.rename(at, name.encode(), at, f"{name}.r".encode())

    def unlink(self, folder: int | str, name: str) -> None:
        """As in Work."""
        self._meta.unlink(Ino(int(folder)), f"{name}.r".encode())

    def know(self, folder: int | str, name: str, ino: int) -> None:
        """Remember a file's inode without reading it."""
        self._inos[int(folder), name] = Ino(ino)

    def ino(self, folder: int | str, name: str) -> int:
        """Return the inode of a file that this process created."""
        return self._inos[int(folder), name]


class PathWork:
    """A folder of a mount, through the kernel.  A folder is its path."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def enter(self, folder: str) -> int | str:
        """As in Work."""
        path = self._root / folder
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def create(self, folder: int | str, name: str) -> None:
        """As in Work."""
        os.close(os.open(f"{folder}/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    def mkdir(self, folder: int | str, name: str) -> None:
        """As in Work."""
        os.mkdir(f"{folder}/{name}", 0o755)

    def setattr(self, folder: int | str, name: str) -> None:
        """As in Work."""
        os.chmod(f"{folder}/{name}", 0o600)

    def rename(self, folder: int | str, name: str) -> None:
        """As in Work."""
        os.rename(f"{folder}/{name}", f"{folder}/{name}.r")

    def unlink(self, folder: int | str, name: str) -> None:
        """As in Work."""
        os.unlink(f"{folder}/{name}.r")


class Worker:
    """Obeys jobs.  `enter`, `run`, and for cold caches `lay` and `know`."""

    def __init__(self, work: MetaWork | PathWork) -> None:
        self._work = work
        self._folders: dict[str, int | str] = {}

    def enter(self, folder: str) -> dict[str, object]:
        """Make a folder, so that the clock does not see it."""
        self._folders[folder] = self._work.enter(folder)
        return {}

    def lay(self, folder: str, count: int, suffix: str) -> dict[str, object]:
        """Make `count` folders below `folder` with a file in each; return all their inodes."""
        work = self._work
        assert isinstance(work, MetaWork), "only in process"
        laid = []
        for number in range(count):
            below = work.enter(f"{folder}/{number}")
            name = f"old-0-{number}{suffix}"
            work.create(below, name)
            laid.append((below, work.ino(below, name)))
        return {"laid": laid}

    def know(self, folder: str, laid: list[list[int]]) -> dict[str, object]:
        """Take over the inodes of `lay` in another process, without reading anything."""
        work = self._work
        assert isinstance(work, MetaWork), "only in process"
        for number, (below, ino) in enumerate(laid):
            self._folders[f"{folder}/{number}"] = below
            work.know(below, f"old-0-{number}", ino)
        return {}

    def run(self, job: Job) -> dict[str, object]:
        """Do a job and return the seconds from the common start to the last thread's end."""
        one: Callable[[int | str, str], None] = getattr(self._work, job.operation)
        start = threading.Barrier(job.threads + 1)

        def act(thread: int) -> None:
            start.wait()
            for number in range(job.count):
                below = f"{job.folder}/{number}" if job.spread else job.folder
                one(self._folders[below], f"{job.tag}-{thread}-{number}")

        with ThreadPoolExecutor(job.threads) as pool:
            acting = [pool.submit(act, number) for number in range(job.threads)]
            began = time.perf_counter()
            start.wait()
            for one_thread in acting:
                one_thread.result()
            seconds = time.perf_counter() - began
        return {"seconds": seconds}


def serve(worker: Worker) -> None:
    """Obey lines of standard input until it ends."""
    for line in sys.stdin:
        command = json.loads(line)
        match command["do"]:
            case "enter":
                answer = worker.enter(command["folder"])
            case "lay":
                answer = worker.lay(command["folder"], command["count"], command["suffix"])
            case "know":
                answer = worker.know(command["folder"], command["laid"])
            case "run":
                answer = worker.run(Job(**command["job"]))
            case other:
                raise ValueError(other)
        tell(answer)


def tell(answer: dict[str, object]) -> None:
    """Print one JSON line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def job_line(job: Job) -> dict[str, object]:
    """Return the command that does a job."""
    return {"do": "run", "job": asdict(job)}


def main() -> None:
    """Work as the command line says: `roost META-URL` or `mount FOLDER`."""
    kind, place = sys.argv[1:]
    if kind == "mount":
        tell({})
        serve(Worker(PathWork(Path(place))))
        return
    with open_meta(place) as meta:
        tell({})
        serve(Worker(MetaWork(meta)))


if __name__ == "__main__":
    main()
