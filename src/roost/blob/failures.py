"""What the store libraries' errors mean: the one table from their words to ours.

The libraries tell the kinds of failure only in part; the store's own code (`<Code>NoSuchBucket`)
and the HTTP status in the message say the rest.  Messages lose query strings: a signature may
stand there.
"""

import re
from enum import Enum

from roost.blob.store import BlobExists, BlobNotFound, BucketMissing, StoreDenied
from roost.errors import RoostError, StorageFull, Unavailable, Unsupported


class Kind(Enum):
    """What the library says by its error's class alone."""

    ABSENT = "absent"
    TAKEN = "taken"
    DENIED = "denied"
    OTHER = "other"


_CODE = re.compile(
    r'<Code>([^<]{1,80})</Code>|code: "([A-Za-z]{1,80})"|"code"\s*:\s*"([a-z_A-Z]{1,80})"'
)
_STATUS = re.compile(r"status(?: code)?: (\d{3})")
_QUERY = re.compile(r"\?[^\s\"']*")
_HEX_SECRET = re.compile(r"(?i)(sig|signature|accountkey|password|token)=[^\s&;]+")
_TEXT_MAX = 300
_IDENTITY_SERVICE = "169.254.169.254"  # a cloud machine's own, asked by the library without keys

_NO_BUCKET = frozenset(
    ["NoSuchBucket", "ContainerNotFound", "NoSuchContainer", "BucketNotFound", "ContainerDisabled",
     "ContainerBeingDeleted", "FilesystemNotFound", "bad_bucket_id"]
)  # fmt: skip
_FULL = frozenset(
    ["QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage",
     "AccountStorageFull", "StorageQuotaExceeded", "InsufficientCapacity", "EntityTooLargeForQuota",
     "ExceedAccountBandwidth", "OutOfQuota", "storage_cap_exceeded", "cap_exceeded"]
)  # fmt: skip
_DENIED = frozenset(
    ["AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthenticationFailed",
     "AuthorizationFailure", "AuthorizationPermissionMismatch", "AuthorizationHeaderMalformed",
     "InvalidAuthenticationInfo", "RequestTimeTooSkewed", "ExpiredToken", "InvalidToken",
     "AccountProblem", "NoAuthenticationInformation", "InsufficientAccountPermissions",
     "PublicAccessNotPermitted", "AllAccessDisabled", "unauthorized", "bad_auth_token"]
)  # fmt: skip
_DENIED_STATUS = frozenset([401, 403, 407])
_FULL_STATUS = 507
_NO_RANGE_STATUS = 416
_FULL_WORDS = re.compile(r"(?i)no space left|insufficient storage|quota exceeded|disk full")


def code_of(text: str) -> str:
    """Return the store's own code in an error's text, "" if there is none."""
    found = _CODE.search(text)
    return next((part for part in found.groups() if part), "") if found else ""


def status_of(text: str) -> int:
    """Return the HTTP status in an error's text, 0 if there is none."""
    found = _STATUS.search(text)
    return int(found[1]) if found else 0


def is_beyond_the_end(text: str) -> bool:
    """True if a range was refused because the object ends before it."""
    return (
        status_of(text) == _NO_RANGE_STATUS
        or code_of(text) == "InvalidRange"
        or "Wanted range starting at" in text  # obstore's own, where the server just answers
    )


def translate(where: str, key: str, kind: Kind, text: str) -> RoostError:
    """Return what to raise for a library's error; `where` names the store."""
    code, status = code_of(text), status_of(text)
    said = _said(text, code, status)
    if _IDENTITY_SERVICE in text:
        return StoreDenied(
            f"{where}: no keys are given, and this machine has no identity that counts there",
            hint="Give --access-key and --secret-key, or the environment's ACCESS_KEY, SECRET_KEY.",
        )
    if code in _NO_BUCKET or "bucket does not exist" in text:
        return BucketMissing(f"{where}: there is no such bucket ({said})")
    if code in _FULL or status == _FULL_STATUS or _FULL_WORDS.search(text):
        return StorageFull(f"{where}{key}: the store is full ({said})")
    if kind is Kind.DENIED or code in _DENIED or status in _DENIED_STATUS:
        return StoreDenied(f"{where}: the store refuses us ({said})")
    if kind is Kind.ABSENT:
        return BlobNotFound(key)
    if kind is Kind.TAKEN:
        return BlobExists(key)
    return Unavailable(f"{where}{key}: {said}")


def first_line(error: Exception) -> str:
    """Return what a library says without its inner workings."""
    return str(error).strip().partition("\n")[0][:_TEXT_MAX]


def disorder(where: str) -> RoostError:
    """Return what to raise for a listing whose names go backwards: nobody may trust it.

    Listing folder by folder is no way out: such servers leave folders out of it (seen with s3rver).
    """
    return Unsupported(
        f"{where}: the server lists names out of order",
        hint="Use a server that lists in order of names, as Amazon S3 and Azure do.",
    )


def _said(text: str, code: str, status: int) -> str:
    """Return one short line without secrets."""
    if code and status:
        return f"{status} {code}"
    line = _HEX_SECRET.sub(r"\1=…", _QUERY.sub("?…", text.strip().partition("\n")[0]))
    return line[:_TEXT_MAX]
