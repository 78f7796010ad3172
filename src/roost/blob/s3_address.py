"""JuiceFS's spellings of an S3 bucket, and of the stores that speak S3.

Source: the volume format reference, section 5.7; the names are those of JuiceFS's drivers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlsplit

from roost.errors import InvalidArgument

REGION_DEFAULT = "us-east-1"
_AMAZON = ".amazonaws.com"
_TRUE = ("1", "t", "true")


@dataclass(frozen=True, slots=True)
class S3Address:
    """A bucket of an S3 server.  With `bucket_in_host`, `endpoint` names the bucket already."""

    bucket: str
    endpoint: str
    region: str
    bucket_in_host: bool
    verify_tls: bool = True
    checksums: bool = True


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a store that speaks S3 differs: where its region stands in `BUCKET.HOST`, and so on.

    `key_variables` are the environment's names for the access key and the secret key.
    """

    region_pattern: str = ""
    bucket_in_host: bool = True
    key_variables: tuple[str, str] = ("", "")


DIALECTS: dict[str, _Dialect] = {
    "eos": _Dialect(bucket_in_host=False, key_variables=("EOS_ACCESS_KEY", "EOS_SECRET_KEY")),
    "ks3": _Dialect(r"[^.]+\.ks3-?([a-z0-9-]*?)(?:-internal)?\."),
    "minio": _Dialect(key_variables=("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")),
    "oos": _Dialect(r"[^.]+\.oos-([a-z0-9-]+)\.", bucket_in_host=False),
    "qiniu": _Dialect(r"[^.]+\.s3-([a-z0-9-]+)\.", bucket_in_host=False),
    "s3": _Dialect(),
    "scw": _Dialect(
        r"[^.]+\.[^.]+\.([a-z0-9-]+)\.", key_variables=("SCW_ACCESS_KEY", "SCW_SECRET_KEY")
    ),
    "space": _Dialect(r"[^.]+\.([a-z0-9-]+)\."),
    "wasabi": _Dialect(r"[^.]+\.[^.]+\.([a-z0-9-]+)\."),
}
"""Storage names served through S3's protocol."""


def s3_address(storage: str, bucket: str, environment: Mapping[str, str]) -> S3Address:
    """Return what `--storage storage --bucket bucket` names.  Raises InvalidArgument."""
    if storage == "minio":
        found = _minio(bucket, environment)
    elif storage == "s3":
        found = _s3(bucket, environment)
    else:
        found = _other(storage, bucket, environment)
    if not found.bucket:
        raise InvalidArgument(f"no bucket is named in {bucket!r}")
    return found


def s3_keys(storage: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the access key and secret key that the environment holds for a storage, or ""."""
    access, secret = DIALECTS[storage].key_variables
    return (environment.get(access, ""), environment.get(secret, "")) if access else ("", "")


def _split(text: str, scheme: str) -> SplitResult:
    try:
        found = urlsplit(text if "://" in text else f"{scheme}://{text}")
        has_host = bool(found.hostname) and (found.port is None or found.port > 0)
    except ValueError as error:
        raise InvalidArgument(f"not a bucket's address: {text!r} ({error})") from error
    if found.scheme not in ("http", "https") or not has_host:
        raise InvalidArgument(
            f"not a bucket's address: {text!r}",
            hint="Write https://HOST/BUCKET or https://BUCKET.HOST.",
        )
    return found


def _option(url: SplitResult, name: str) -> str:
    return parse_qs(url.query).get(name, [""])[0]


def _region(environment: Mapping[str, str], *names: str) -> str:
    return next((environment[name] for name in names if environment.get(name)), REGION_DEFAULT)


def _s3(text: str, environment: Mapping[str, str]) -> S3Address:
    bare = text.partition("?")[0].strip("/")
    amazon = bare.split("/")[0].endswith((_AMAZON, f"{_AMAZON}.cn"))
    url = _split(text, "https" if amazon or "." not in bare else "http")
    host, first = url.netloc, url.path.strip("/").split("/")[0]
    region = _region(environment, "AWS_REGION", "AWS_DEFAULT_REGION")
    if _AMAZON in host and ".vpce." not in host:
        return _amazon(url, first)
    if "." not in host and not first and ":" not in host:  # a bucket's name alone: Amazon's
        made = _split(f"https://{host}.s3.{region}{_AMAZON}", "https")
        return _amazon(made, "")
    if first:
        bucket, server = first, host
    else:
        bucket, _, server = host.partition(".")
    vpc = re.search(r"\.([a-z0-9-]+)\.vpce\.amazonaws\.com", host)
    oracle = re.search(r"(compat|vhcompat)\.objectstorage\.([a-z0-9-]+)\.", host)
    ovh = re.search(r"s3\.(\w+)(?:\.\w+)?\.cloud\.ovh\.net$", host)
    region = next((m[g] for m, g in ((vpc, 1), (oracle, 2), (ovh, 1)) if m), region)
    in_host = environment.get("JFS_S3_VHOST_STYLE", "").lower() in _TRUE or (
        oracle is not None and oracle[1] == "vhcompat"
    )
    return _address(url, bucket, server, region, in_host=in_host)


def _amazon(url: SplitResult, first: str) -> S3Address:
    """Return the address of a bucket of Amazon's own S3, by either form of its host."""
    host = url.netloc
    if first:
        bucket, rest = first, host
    else:
        bucket, _, after = host.partition(".s3")
        rest = f"s3{after}"
    region = re.sub(r"^s3[.-]?", "", rest).removeprefix("dualstack.").split(".")[0]
    if region in ("", "amazonaws", "external-1"):
        region = REGION_DEFAULT
        rest = rest.replace("external-1", REGION_DEFAULT)
    return _address(url, bucket, rest, region, in_host="." not in bucket)


def _minio(text: str, environment: Mapping[str, str]) -> S3Address:
    url = _split(text, "http")
    bucket = url.path.strip("/").removeprefix("minio/").split("/")[0]
    region = _option(url, "region") or _region(environment, "MINIO_REGION")
    in_host = environment.get("JFS_S3_VHOST_STYLE", "").lower() in _TRUE
    return _address(url, bucket, url.netloc, region, in_host=in_host)


def _other(storage: str, text: str, environment: Mapping[str, str]) -> S3Address:
    dialect = DIALECTS[storage]
    url = _split(text, "https")
    bucket, _, server = url.netloc.partition(".")
    if not server:
        raise InvalidArgument(f"{text!r} is not https://BUCKET.HOST")
    region = REGION_DEFAULT
    if dialect.region_pattern:
        found = re.match(dialect.region_pattern, url.netloc)
        region = found[1] if found and found[1] else _region(environment, "AWS_REGION")
    return _address(url, bucket, server, region, in_host=dialect.bucket_in_host)


def _address(
    url: SplitResult, bucket: str, server: str, region: str, *, in_host: bool
) -> S3Address:
    return S3Address(
        bucket=bucket,
        endpoint=f"{url.scheme}://{bucket}.{server}" if in_host else f"{url.scheme}://{server}",
        region=region,
        bucket_in_host=in_host,
        verify_tls=_option(url, "tls-insecure-skip-verify").lower() not in _TRUE,
        checksums=_option(url, "disable-checksum").lower() != "true",
    )
