"""Opening S3, Azure and Google buckets: from addresses to the library's stores."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from roost.blob.azure_address import AzureAddress, azure_address
from roost.blob.cloud import CloudStore, seconds
from roost.blob.failures import first_line
from roost.blob.patience import Patience
from roost.blob.place import Place
from roost.blob.s3_address import S3Address, s3_address, s3_keys
from roost.errors import InvalidArgument

ANONYMOUS = "anonymous"
_KEEPS_CONDITIONS = (".amazonaws.com", ".amazonaws.com.cn")


def open_s3(place: Place, patience: Patience, environment: Mapping[str, str]) -> CloudStore:
    """Return the store of a bucket that speaks S3.  Raises InvalidArgument."""
    address = s3_address(place.storage, place.bucket, environment)
    return CloudStore(
        s3_client(place, address, patience, environment),
        f"{place.storage}://{address.bucket}/",
        storage_class=place.storage_class,
        tag=place.tag,
        checksums=address.checksums,
        trusts_conditions=(urlsplit(address.endpoint).hostname or "").endswith(_KEEPS_CONDITIONS),
    )


def s3_client(
    place: Place, address: S3Address, patience: Patience, environment: Mapping[str, str]
) -> S3Store:
    """Return the library's client of an S3 bucket."""
    access_key, secret_key = place.access_key, place.secret_key
    if not access_key:
        access_key, secret_key = s3_keys(place.storage, environment)
    options = _client_options(address.endpoint, patience)
    if not address.verify_tls:
        options["allow_invalid_certificates"] = True
    keys: dict[str, str] = {}
    if access_key and access_key != ANONYMOUS:
        keys = {"access_key_id": access_key, "secret_access_key": secret_key}
        if place.session_token:
            keys["session_token"] = place.session_token
    try:
        return S3Store(
            address.bucket,
            endpoint=address.endpoint,
            region=address.region,
            virtual_hosted_style_request=address.bucket_in_host,
            skip_signature=access_key == ANONYMOUS,
            unsigned_payload=True,  # as JuiceFS; hashing 4 MiB costs three times the put
            disable_bulk_delete=True,  # not all servers have it
            client_options=options,  # type: ignore[arg-type]  # a plain dict
            retry_config={"max_retries": 0},
            **keys,  # type: ignore[arg-type]  # only those that are given
        )
    except (BaseError, ValueError) as error:
        raise InvalidArgument(f"bucket {place.bucket!r}: {first_line(error)}") from error


def open_azure(place: Place, patience: Patience, environment: Mapping[str, str]) -> CloudStore:
    """Return the store of an Azure Blob container.  Raises InvalidArgument."""
    address = wasb_address(place, environment)
    keys: dict[str, str] = {}
    if address.key:
        keys["account_key"] = address.key
    elif address.sas_token:
        keys["sas_key"] = address.sas_token
    try:
        store = AzureStore(
            container_name=address.container,
            account_name=address.account,
            endpoint=address.endpoint,
            client_options=_client_options(address.endpoint, patience),  # type: ignore[arg-type]
            retry_config={"max_retries": 0},
            **keys,  # type: ignore[arg-type]  # only those that are given
        )
    except (BaseError, ValueError) as error:
        raise InvalidArgument(
            f"bucket {place.bucket!r}: {first_line(error)}",
            hint="The account's key is base64: copy it as it stands.",
        ) from error
    return CloudStore(
        store, f"wasb://{address.container}/", storage_class=place.storage_class, tag=place.tag
    )


def wasb_address(place: Place, environment: Mapping[str, str]) -> AzureAddress:
    """Return the container that a place names.  Raises InvalidArgument."""
    return azure_address(
        place.bucket, place.access_key, place.secret_key, place.session_token, environment
    )


def open_google(place: Place, patience: Patience, environment: Mapping[str, str]) -> CloudStore:
    """Return the store of a Google bucket; who we are comes from the environment, as in JuiceFS.

    Raises InvalidArgument.
    """
    text = place.bucket.removeprefix("gs://")
    bucket = text.strip("/").partition("/")[0].partition(".")[0]
    if not bucket or "://" in text:
        raise InvalidArgument(
            f"not a Google bucket: {place.bucket!r}", hint="Write gs://BUCKET or BUCKET."
        )
    account = environment.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    try:
        store = GCSStore(
            bucket,
            client_options=_client_options("", patience),  # type: ignore[arg-type]
            retry_config={"max_retries": 0},
            **({"application_credentials": account} if account else {}),  # type: ignore[arg-type]
        )
    except (BaseError, ValueError, OSError) as error:
        raise InvalidArgument(
            f"bucket {place.bucket!r}: {first_line(error)}",
            hint="Set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account.",
        ) from error
    return CloudStore(store, f"gs://{bucket}/", storage_class=place.storage_class)


def _client_options(endpoint: str, patience: Patience) -> dict[str, object]:
    return {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": seconds(patience.connect_timeout_s),
        "timeout": seconds(patience.request_timeout_s),
        "user_agent": "roost",
    }
