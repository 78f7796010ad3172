"""Making a bucket that is not there yet, as `format` does it: a folder, S3's family and Azure.

The store libraries do not make buckets.  On S3 the library signs the request; Azure's container
needs the account key's own signature.  Source: CreateBucket, Amazon S3 API; "Create Container" and
"Authorize with Shared Key", Azure Storage REST reference.
"""

import base64
import hashlib
import hmac
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, urlsplit

from roost.blob.azure_address import AzureAddress
from roost.blob.directory import make_directory
from roost.blob.failures import Kind, translate
from roost.blob.forks import claim
from roost.blob.patience import PATIENT, Patience
from roost.blob.place import Place
from roost.blob.s3_address import DIALECTS, REGION_DEFAULT, s3_address
from roost.errors import Unavailable, Unsupported

_AZURE_VERSION = "2021-12-02"
_VALID_S = 300
_MADE_ALREADY = ("BucketAlreadyOwnedByYou", "ContainerAlreadyExists")


def make_bucket(
    place: Place,
    *,
    patience: Patience = PATIENT,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Make the bucket, or all buckets of a sharded place; one that is ours already is left.

    Raises Unsupported for a storage whose buckets are made elsewhere; StoreDenied; Unavailable.
    """
    claim()
    place = replace(place, storage=place.storage.lower())
    variables = os.environ if environment is None else environment
    for bucket in place.buckets():
        if place.storage == "file":
            make_directory(Path(bucket.bucket))
        elif place.storage in DIALECTS:
            _make_s3(bucket, patience, variables)
        elif place.storage == "wasb":
            _make_azure(bucket, patience, variables)
        else:
            raise Unsupported(
                f"buckets of storage {place.storage} are not made here",
                hint="Make the bucket with the store's own tool.",
            )


def _make_s3(place: Place, patience: Patience, environment: Mapping[str, str]) -> None:
    import obstore  # costs a tenth of a second, which a folder need not wait for
    from obstore.exceptions import BaseError

    from roost.blob.cloud_open import s3_client

    address = s3_address(place.storage, place.bucket, environment)
    where = f"{place.storage}://{address.bucket}/"
    client = s3_client(place, address, patience, environment)
    try:
        url = obstore.sign(client, "PUT", "", timedelta(seconds=_VALID_S))
    except BaseError as error:
        raise translate(where, "", Kind.OTHER, str(error)) from error
    body = b""
    if address.region != REGION_DEFAULT:
        body = (
            '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<LocationConstraint>{address.region}</LocationConstraint>"
            "</CreateBucketConfiguration>"
        ).encode()
    _put(where, url, {"Content-Type": "application/xml"} if body else {}, body, patience)


def _make_azure(place: Place, patience: Patience, environment: Mapping[str, str]) -> None:
    from roost.blob.cloud_open import wasb_address

    address = wasb_address(place, environment)
    if not address.key:
        raise Unsupported(
            f"container {address.container}: only the account's key can make one",
            hint="Make the container with Azure's own tool.",
        )
    url = f"{address.endpoint}/{quote(address.container)}?restype=container"
    _put(f"wasb://{address.container}/", url, _azure_headers(address), b"", patience)


def _azure_headers(address: AzureAddress) -> dict[str, str]:
    date = formatdate(usegmt=True)
    path = f"{urlsplit(address.endpoint).path}/{address.container}"
    lines = ["PUT", *[""] * 11, f"x-ms-date:{date}", f"x-ms-version:{_AZURE_VERSION}"]
    lines += [f"/{address.account}{path}", "restype:container"]
    digest = hmac.new(
        base64.b64decode(address.key), "\n".join(lines).encode(), hashlib.sha256
    ).digest()
    return {
        "x-ms-date": date,
        "x-ms-version": _AZURE_VERSION,
        "Authorization": f"SharedKey {address.account}:{base64.b64encode(digest).decode()}",
    }


def _put(where: str, url: str, headers: dict[str, str], body: bytes, patience: Patience) -> None:
    request = urllib.request.Request(url, method="PUT", headers=headers, data=body or None)
    if not body:
        request.add_header("Content-Length", "0")
    try:
        opener = urllib.request.build_opener()  # with the proxies of the environment of now
        with opener.open(request, timeout=patience.request_timeout_s) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        if any(code in text for code in _MADE_ALREADY):
            return
        raise translate(where, "", Kind.OTHER, f"status: {error.code} {text}") from error
    except OSError as error:
        raise Unavailable(f"{where}: the bucket could not be made: {error}") from error
