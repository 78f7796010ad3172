"""Where a bucket is: equal words for equal buckets, as far as their addresses tell.

Whoever asks, over what, and in which region is no part of it: a bucket has many keys, and several
spellings of its address.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from roost.blob.azure_address import azure_address
from roost.blob.place import Place
from roost.blob.s3_address import DIALECTS, s3_address
from roost.volume.sync.location import Location

_AMAZON = re.compile(r".*\.(amazonaws\.com(\.cn)?)")
_PORT_DEFAULT = re.compile(r":(80|443)$")
_THIS_HOST = re.compile(r"^(127(\.\d+){3}|\[::1\]|0\.0\.0\.0)(?=:|$)")


def bucket_location(place: Place, prefix: str, environment: Mapping[str, str]) -> Location:
    """Return where the keys below `prefix` ("a/b", "" for all) of a bucket are.

    Raises InvalidArgument for an address that names no bucket.
    """
    if place.storage in DIALECTS:
        space = _s3(place, environment)
    elif place.storage == "wasb":
        space = _azure(place, environment)
    elif place.storage == "gs":
        space = f"gs {place.bucket.partition('.')[0].lower()}"  # what follows is not looked at
    else:
        host, slash, path = place.bucket.rpartition("://")[2].strip("/").partition("/")
        space = f"{place.storage} {_server(host)}{slash}{path}"
    return Location(space, tuple(part for part in prefix.split("/") if part))


def _s3(place: Place, environment: Mapping[str, str]) -> str:
    found = s3_address(place.storage, place.bucket, environment)
    bucket = found.bucket.lower()  # as part of a host's name it has no case
    server = _server(urlsplit(found.endpoint).netloc)
    if found.bucket_in_host:
        server = server.removeprefix(f"{bucket}.")
    amazon = _AMAZON.fullmatch(server)
    return f"s3 {amazon[1] if amazon else server} {bucket}"


def _azure(place: Place, environment: Mapping[str, str]) -> str:
    found = azure_address(
        place.bucket, place.access_key, place.secret_key, place.session_token, environment
    )
    url = urlsplit(found.endpoint)
    return f"wasb {_server(url.netloc)}{url.path.rstrip('/')} {found.account} {found.container}"


def _server(host: str) -> str:
    """Return a host and its port as they are mostly spelled."""
    return _THIS_HOST.sub("localhost", _PORT_DEFAULT.sub("", host.lower()))
