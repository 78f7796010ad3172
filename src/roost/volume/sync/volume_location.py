"""Where a path of a volume really leads, as realpath(3) says it of a mounted one."""

import errno
from itertools import takewhile

from roost.volume.client import VolumeClient
from roost.volume.errors import FsError
from roost.volume.model import ROOT, Ino, Kind
from roost.volume.sync.location import Location

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_LINKS_MAX = 40  # as Linux


def real_location(client: VolumeClient, path: str) -> Location:
    """Return where `path` is, whether or not it exists.  Raises FsError EACCES."""
    way: list[tuple[str, Ino | None]] = []
    names = path.split("/")[::-1]
    file: Ino | None = None
    links = 0
    while names:
        name = names.pop()
        if name == "..":
            del way[-1:]
        if name in ("", ".", ".."):
            continue
        at = "/".join(["", *(above for above, _ in way), name])
        try:
            node = client.node(at, follow=False)
        except FsError as error:
            if error.errno not in _ABSENT:
                raise
            way.append((name, None))
            continue
        if node.attr.kind is Kind.SYMLINK and links < _LINKS_MAX:
            links += 1
            target = client.readlink(at)
            names += target.split("/")[::-1]
            way = [] if target.startswith("/") else way
        else:
            way.append((name, node.ino if node.attr.is_directory else None))
            file = node.ino if node.attr.is_file and not names else None
    inos = takewhile(lambda ino: ino is not None, (ino for _, ino in way))
    return Location(f"volume {client.settings.uuid}", tuple(n for n, _ in way), (ROOT, *inos), file)
