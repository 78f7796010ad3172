"""JuiceFS's spellings of an Azure Blob container: `--storage wasb`.

The bucket is `https://CONTAINER.ENDPOINT`; only its container counts when
AZURE_STORAGE_CONNECTION_STRING is set.  Source: the volume format reference, section 5.7;
"Configure Azure Storage connection strings", Microsoft.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from roost.errors import InvalidArgument

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
_SUFFIX_DEFAULT = "core.windows.net"
_EMULATOR = {
    "AccountName": "devstoreaccount1",
    # Public: every Azurite has it.
    "AccountKey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/"
    "K1SZFPTOtr/KBHBeksoGMGw==",
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}


@dataclass(frozen=True, slots=True)
class AzureAddress:
    """A container of a storage account.  Without key and token the environment's identity counts.

    `endpoint` is the account's address, to which the container's name is added.
    """

    container: str
    account: str
    endpoint: str
    key: str = field(default="", repr=False)
    sas_token: str = field(default="", repr=False)


def azure_address(
    bucket: str,
    account: str,
    key: str,
    sas_token: str,
    environment: Mapping[str, str],
) -> AzureAddress:
    """Return what the settings and the environment name.  Raises InvalidArgument."""
    text = bucket if "://" in bucket else f"https://{bucket}"
    try:
        url = urlsplit(text)
        container, _, domain = url.netloc.partition(".")
    except ValueError as error:
        raise InvalidArgument(f"not a container's address: {bucket!r} ({error})") from error
    if not container or url.scheme not in ("http", "https") or "/" in url.path.strip("/"):
        raise InvalidArgument(
            f"not a container's address: {bucket!r}",
            hint="Write https://CONTAINER.ENDPOINT, for example https://photos.core.windows.net.",
        )
    stated = environment.get(CONNECTION_STRING, "")
    if stated:
        return _of_connection_string(container, stated)
    if not account:
        raise InvalidArgument(
            "no storage account is named",
            hint=f"Give --access-key ACCOUNT and --secret-key KEY, or set {CONNECTION_STRING}.",
        )
    if not domain:
        domain = f"blob.{_SUFFIX_DEFAULT}"
    elif not domain.startswith("blob"):
        domain = f"blob.{domain}"
    return AzureAddress(
        container=container,
        account=account,
        endpoint=f"{url.scheme}://{account}.{domain}",
        key=key,
        sas_token="" if key else sas_token.strip().removeprefix("?"),
    )


def _of_connection_string(container: str, stated: str) -> AzureAddress:
    parts: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in stated.strip().split(";"))):
        name, found, value = part.partition("=")
        if not found:
            raise InvalidArgument(
                f"{CONNECTION_STRING} has a part without '='",
                hint="Copy it from the storage account's page of access keys, in quotes.",
            )
        parts[name] = value
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        parts = {**_EMULATOR, **parts}
    account = parts.get("AccountName", "")
    endpoint = parts.get("BlobEndpoint", "").rstrip("/")
    if not endpoint:
        if not account:
            raise InvalidArgument(f"{CONNECTION_STRING} names no AccountName or BlobEndpoint")
        scheme = parts.get("DefaultEndpointsProtocol", "https")
        endpoint = f"{scheme}://{account}.blob.{parts.get('EndpointSuffix', _SUFFIX_DEFAULT)}"
    if not endpoint.startswith(("http://", "https://")):
        raise InvalidArgument(f"{CONNECTION_STRING}: not an address: {endpoint!r}")
    return AzureAddress(
        container=container,
        account=account or endpoint.split("://")[1].split(".")[0],
        endpoint=endpoint,
        key=parts.get("AccountKey", ""),
        sas_token=parts.get("SharedAccessSignature", "").removeprefix("?"),
    )
