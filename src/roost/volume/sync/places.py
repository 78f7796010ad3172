"""SRC and DST of a sync: JuiceFS's spellings, and what they open.

/path, path, file:///path     a directory
jfs://VOLUME/path             a volume; VOLUME as in access.places (an environment variable's name,
                              a metadata URL percent-encoded, or ROOST_META and the volume's name)
roost://VOLUME/path           the same
NAME://[ACCESS_KEY:SECRET_KEY[:TOKEN]@]BUCKET[.ENDPOINT][/PREFIX]
                              an object store: s3, minio, wasb, gs, oss …

Both end in "/" (what is in the folder) or neither does (one file, or a folder all the same).
Source: JuiceFS Community 1.4, cmd/sync.go.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from roost.blob.open import open_store
from roost.blob.place import Place
from roost.blob.prefix import PrefixStore
from roost.errors import InvalidArgument, Unsupported
from roost.volume.access.places import SCHEMES, place_of, split_url
from roost.volume.client import VolumeClient
from roost.volume.data.settings import DataSettings
from roost.volume.sync.bucket import Bucket
from roost.volume.sync.bucket_location import bucket_location
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.one_file import OneFile
from roost.volume.sync.volume_tree import VolumeTree

_PORT_MAX = 65_535
_NUMBERED_HOST = re.compile(r"(localhost|\d+\.\d+\.\d+\.\d+)?(:\d+)?")
_AMAZON_HOST = re.compile(r"s3[.-].*\.amazonaws\.com(:\d+)?")


@dataclass(frozen=True, slots=True)
class Manner:
    """How places are opened, beside their URLs."""

    read_only: bool = False
    durable: bool = False
    https: bool = True
    storage_class: str = ""
    cache_dir: Path | None = None
    data: DataSettings | None = None


def open_place(url: str, manner: Manner) -> Endpoint:
    """Return the folder that `url` names, with or without its last "/".

    Raises InvalidArgument, Unsupported, NotFormatted, Unavailable.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        if ":" in url:
            raise Unsupported(
                f"{_public(url)}: SFTP is not served by this Roost",
                hint='Write file:///path for a local path with ":" in it.',
            )
        return LocalTree(Path(url), durable=manner.durable)
    if scheme == "file":
        return LocalTree(Path(_plain("/" + rest.lstrip("/"))), durable=manner.durable)
    if scheme in SCHEMES:
        authority, path = split_url(url)
        place = place_of(authority)
        client = VolumeClient.open(
            place.meta_url,
            read_only=manner.read_only,
            cache_dir=manner.cache_dir,
            data=manner.data,
        )
        if place.name not in ("", client.settings.name):
            client.close()
            raise InvalidArgument(
                f"the volume's name is {client.settings.name!r}, not {place.name!r}",
                hint=f"Set {place.name} to the metadata URL of the volume that you mean.",
            )
        return VolumeTree(client, _plain(path))
    return _open_bucket(scheme.lower(), rest, manner)


def open_file_or_folder(url: str, manner: Manner, name: str = "") -> tuple[Endpoint, str]:
    """Return what a URL without a last "/" names, and the file's name, "" if it is a folder.

    With `name` it is known to be a file: DST, where nothing need be yet; `name` is then what the
    other side calls it.  Raises InvalidArgument if the URL then names a bucket or a volume.
    """
    if _is_whole(url):
        if name:
            raise InvalidArgument(
                f"{_public(url)} names no file",
                hint="Write the name that the copy is to have, too.",
            )
        return open_place(url + "/", manner), ""
    head, slash, last = url.rpartition("/")
    if "://" in url:
        last = _plain(last)
    above = open_place(f"{head}/" if slash else ".", manner)
    if name:
        return OneFile(above, last, name), name
    item = above.head(last, follow=True)
    if item is not None and not item.is_folder:
        return OneFile(above, last, last), last
    above.close()
    return open_place(url + "/", manner), ""


def _open_bucket(scheme: str, rest: str, manner: Manner) -> Endpoint:
    login, at, location = _split_login(scheme, rest)
    access_key, _, secrets = login.partition(":")
    secret_key, _, token = secrets.partition(":")
    host, _, path = location.partition("/")
    prefix = _plain(path).strip("/")
    bucket = f"{'https' if _wants_https(scheme, host, manner) else 'http'}://{host}"
    if scheme in ("hdfs", "gs"):
        bucket = host
    elif scheme == "minio" or (scheme == "s3" and _bucket_in_path(host)):
        name, _, prefix = prefix.partition("/")
        bucket = f"{bucket}/{name}"
    if not host and not at:
        raise InvalidArgument(f"{scheme}://{rest}: no bucket is named")
    place = Place(
        storage=scheme,
        bucket=bucket,
        access_key=unquote(access_key),
        secret_key=unquote(secret_key),
        session_token=unquote(token),
        storage_class=manner.storage_class,
    )
    store = open_store(place)
    where = bucket_location(place, prefix, os.environ)
    return Bucket(PrefixStore(store, prefix + "/") if prefix else store, where)


def _is_whole(url: str) -> bool:
    """True for a URL without a last "/" that ends with the name of a bucket or a volume."""
    scheme, found, rest = url.partition("://")
    if not found or scheme == "file":
        return False
    location = rest if scheme in SCHEMES else _split_login(scheme.lower(), rest)[2]
    host, slash, path = location.partition("/")
    if scheme == "minio" or (scheme == "s3" and _bucket_in_path(host)):
        return "/" not in path
    return not slash


def _split_login(scheme: str, rest: str) -> tuple[str, str, str]:
    """Return keys, "@" and where: keys end before the first "/", unless one of them holds it."""
    authority, _, path = rest.partition("/")
    if "@" in authority:
        login, _, host = authority.rpartition("@")
        return login, "@", host + rest[len(authority) :]
    if ":" in authority and "@" in path and not _is_address(scheme, authority, path):
        return rest.partition("@")
    return "", "", rest


def _is_address(scheme: str, authority: str, path: str) -> bool:
    """True if `authority` is a host and its port; False for keys, the last one cut at its "/".

    Raises InvalidArgument if it could be either.
    """
    host, _, port = authority.rpartition(":")
    if not port.isdigit() or int(port) > _PORT_MAX:
        return False
    if scheme == "hdfs" or host == "localhost" or "." in host or host.startswith("["):
        return True
    if ":" in host or "@" in path.partition("/")[0]:  # no bucket's name has an "@"
        return False
    if host != host.lower():  # keys often have capitals, names of hosts mostly have not
        raise InvalidArgument(
            f'{scheme}://…: what stands before the first "/" could be a host or keys',
            hint='Write "%40" for each "@" in a path, and "%2F" for each "/" in a key.',
        )
    return True


def _plain(text: str) -> str:
    """Return a URL's path without its escapes; bytes that are no UTF-8 as `os.fsdecode` does."""
    return unquote(text, errors="surrogateescape")


def _bucket_in_path(host: str) -> bool:
    return bool(_NUMBERED_HOST.fullmatch(host) or _AMAZON_HOST.fullmatch(host))


def _wants_https(scheme: str, host: str, manner: Manner) -> bool:
    if not manner.https or scheme == "minio":
        return False
    return not _NUMBERED_HOST.fullmatch(host.partition(".")[2] if scheme == "s3" else "-")


def _public(url: str) -> str:
    """Return the URL without secrets."""
    return re.sub(r"^([^@:/]*):[^@]*@", r"\1:***@", url)
