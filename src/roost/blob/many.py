"""Every further store that OpenDAL brings: one table from JuiceFS's names to its services.

These are wired, not tried against the services themselves (docs/guide/stores.md says which are
tried).  Their objects carry no checksum of ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from roost.blob.place import Place
from roost.errors import InvalidArgument

Options = dict[str, str]


@dataclass(frozen=True, slots=True)
class Service:
    """A service of OpenDAL.

    `options` turns address, place and environment into its settings.  `has_folders`: it keeps real
    folders, so a recursive listing is not in order of names.  `drafts`: a new object is written
    beside its name and renamed, since a half-written one could be seen.
    """

    scheme: str
    options: Callable[[SplitResult, Place, Mapping[str, str]], Options]
    has_folders: bool = False
    drafts: bool = False


def options_of(place: Place, environment: Mapping[str, str]) -> tuple[Service, Options]:
    """Return a storage's service and its settings.  Raises InvalidArgument."""
    service = SERVICES[place.storage]
    try:
        url = urlsplit(place.bucket if "://" in place.bucket else f"https://{place.bucket}")
        host = url.hostname
    except ValueError as error:
        raise InvalidArgument(f"not a bucket's address: {place.bucket!r} ({error})") from error
    if not host:
        raise InvalidArgument(f"not a bucket's address: {place.bucket!r}")
    options = service.options(url, place, environment)
    return service, {name: value for name, value in options.items() if value}


def _parts(url: SplitResult) -> tuple[str, str]:
    """Return bucket and endpoint of https://BUCKET.ENDPOINT."""
    bucket, _, server = url.netloc.partition(".")
    if not server:
        raise InvalidArgument(
            f"{url.geturl()!r} names no endpoint", hint="Write https://BUCKET.ENDPOINT."
        )
    return bucket, f"{url.scheme}://{server}"


def _keys(place: Place, environment: Mapping[str, str], *names: str) -> tuple[str, str]:
    if place.access_key or not names:
        return place.access_key, place.secret_key
    return environment.get(names[0], ""), environment.get(names[1], "")


def _oss(url: SplitResult, place: Place, environment: Mapping[str, str]) -> Options:
    bucket, endpoint = _parts(url)
    key, secret = _keys(place, environment, "ALICLOUD_ACCESS_KEY_ID", "ALICLOUD_ACCESS_KEY_SECRET")
    return {
        "bucket": bucket,
        "endpoint": endpoint,
        "access_key_id": key,
        "access_key_secret": secret,
        "security_token": place.session_token or environment.get("SECURITY_TOKEN", ""),
    }


def _cos(url: SplitResult, place: Place, environment: Mapping[str, str]) -> Options:
    bucket, endpoint = _parts(url)
    key, secret = _keys(place, environment, "COS_SECRETID", "COS_SECRETKEY")
    return {
        "bucket": bucket,
        "endpoint": endpoint,
        "secret_id": key,
        "secret_key": secret,
        "security_token": place.session_token,
    }


def _obs(url: SplitResult, place: Place, environment: Mapping[str, str]) -> Options:
    bucket, endpoint = _parts(url)
    key, secret = _keys(place, environment, "HWCLOUD_ACCESS_KEY", "HWCLOUD_SECRET_KEY")
    return {
        "bucket": bucket,
        "endpoint": endpoint,
        "access_key_id": key,
        "secret_access_key": secret,
    }


def _tos(url: SplitResult, place: Place, _environment: Mapping[str, str]) -> Options:
    bucket, endpoint = _parts(url)
    return {
        "bucket": bucket,
        "endpoint": endpoint,
        "region": endpoint.split("://")[1].split(".")[0].removeprefix("tos-"),
        "access_key_id": place.access_key,
        "secret_access_key": place.secret_key,
        "security_token": place.session_token,
    }


def _b2(url: SplitResult, place: Place, _environment: Mapping[str, str]) -> Options:
    return {
        "bucket": url.netloc.split(".")[0],
        "bucket_id": place.session_token,
        "application_key_id": place.access_key,
        "application_key": place.secret_key,
    }


def _swift(url: SplitResult, place: Place, _environment: Mapping[str, str]) -> Options:
    container, server = _parts(url)
    return {"container": container, "endpoint": server, "token": place.session_token}


def _webdav(url: SplitResult, place: Place, _environment: Mapping[str, str]) -> Options:
    return {
        "endpoint": f"{url.scheme}://{url.netloc}",
        "root": url.path or "/",
        "username": place.access_key,
        "password": place.secret_key,
        "token": place.session_token,
    }


def _hdfs(url: SplitResult, place: Place, _environment: Mapping[str, str]) -> Options:
    return {"name_node": f"hdfs://{url.netloc}", "root": url.path or "/", "user": place.access_key}


SERVICES: dict[str, Service] = {
    "b2": Service("b2", _b2),
    "cos": Service("cos", _cos),
    "hdfs": Service("hdfs-native", _hdfs, has_folders=True, drafts=True),
    "obs": Service("obs", _obs),
    "oss": Service("oss", _oss),
    "swift": Service("swift", _swift),
    "tos": Service("tos", _tos),
    "webdav": Service("webdav", _webdav, has_folders=True),
}
"""JuiceFS's storage name -> service."""
