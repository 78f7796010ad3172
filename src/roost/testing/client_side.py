"""A folder of a volume through the client in this process, with the operations of sides.py."""

import os
import stat

from roost.testing.sides import Seen
from roost.volume.client import VolumeClient
from roost.volume.meta.answers import FallocateFlag
from roost.volume.model import AttrChange, RenameFlag


class ClientSide:
    """A folder of a volume, through the client in this process."""

    def __init__(self, client: VolumeClient, top: str) -> None:
        self._client = client
        self._top = top

    def _at(self, path: str) -> str:
        return f"{self._top}/{path}"

    def write(self, path: str, offset: int, data: bytes) -> None:
        """As in Side."""
        if not self._client.exists(self._at(path)):
            self._client.open_file(self._at(path), "a").close()  # also through a dangling link
        with self._client.open_file(self._at(path), "r+") as file:
            file.pwrite(offset, data)

    def append(self, path: str, data: bytes) -> None:
        """As in Side."""
        self._client.append(self._at(path), data)

    def truncate(self, path: str, length: int) -> None:
        """As in Side."""
        self._client.truncate(self._at(path), length)

    def fallocate(self, path: str, mode: int, offset: int, size_bytes: int) -> None:
        """As in Side."""
        self._client.fallocate(self._at(path), offset, size_bytes, FallocateFlag(mode))

    def copy_range(self, source: str, offset: int, target: str, to: int, size_bytes: int) -> int:
        """As in Side."""
        return self._client.copy_file_range(
            self._at(source), offset, self._at(target), to, size_bytes
        )

    def mkdir(self, path: str, mode: int) -> None:
        """As in Side."""
        self._client.mkdir(self._at(path), mode)

    def rmdir(self, path: str) -> None:
        """As in Side."""
        self._client.rmdir(self._at(path))

    def unlink(self, path: str) -> None:
        """As in Side."""
        self._client.remove(self._at(path))

    def rename(self, path: str, new_path: str, flags: RenameFlag) -> None:
        """As in Side."""
        client = self._client
        old, new = client._paths.place(self._at(path)), client._paths.place(self._at(new_path))
        client._core.remove_data(client.meta.rename(*old, *new, flags, client._caller))

    def link(self, path: str, new_path: str) -> None:
        """As in Side."""
        self._client.link(self._at(path), self._at(new_path))

    def symlink(self, target: str, path: str) -> None:
        """As in Side."""
        self._client.symlink(target, self._at(path))

    def chmod(self, path: str, mode: int) -> None:
        """As in Side."""
        self._client.setattr(self._at(path), AttrChange(mode=mode))

    def chown(self, path: str, uid: int, gid: int) -> None:
        """As in Side."""
        self._client.setattr(self._at(path), AttrChange(uid=uid, gid=gid), follow=False)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """As in Side."""
        self._client.setattr(self._at(path), AttrChange(atime_ns=mtime_ns, mtime_ns=mtime_ns))

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        """As in Side."""
        self._client.setxattr(self._at(path), name, value)

    def removexattr(self, path: str, name: str) -> None:
        """As in Side."""
        self._client.removexattr(self._at(path), name)

    def clone(self, path: str, new_path: str) -> None:
        """Clone a tree without copying its data."""
        self._client.clone(self._at(path), self._at(new_path))

    def tree(self) -> dict[str, Seen]:
        """As in Side."""
        found: dict[str, Seen] = {}
        for folder, folders, names in self._client.walk(self._top):
            for name in folders + names:
                path = os.path.relpath(f"{folder}/{name}", self._top)
                found[path] = self._seen(path)
        return dict(sorted(found.items()))

    def _seen(self, path: str) -> Seen:
        client, place = self._client, self._at(path)
        attr = client.stat(place, follow=False)
        is_link = stat.S_ISLNK(attr.st_mode)
        return Seen(
            kind=stat.S_IFMT(attr.st_mode),
            mode=attr.mode,
            uid=attr.uid,
            gid=attr.gid,
            nlink=attr.nlink,
            size=0 if attr.is_directory else attr.length,
            target=client.readlink(place) if is_link else "",
            data=client.read(place) if attr.is_file else b"",
            xattrs=()
            if is_link
            else tuple((name, client.getxattr(place, name)) for name in client.listxattr(place)),
            mtime_ns=attr.mtime_ns,
            ctime_ns=attr.ctime_ns,
        )
