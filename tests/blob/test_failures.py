"""The one table from the libraries' words to ours."""

import pytest

from roost.blob.failures import Kind, is_beyond_the_end, translate
from roost.blob.store import BlobExists, BlobNotFound, BucketMissing, StoreDenied
from roost.errors import RoostError, StorageFull, Unavailable

HTTP = (
    "Error performing PUT http://h/b/k?X-Amz-Signature=hush in 1ms - Server returned status code: "
)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (Kind.ABSENT, "not found: 404 <Code>NoSuchKey</Code>", BlobNotFound),
        (Kind.ABSENT, "not found", BlobNotFound),
        (Kind.TAKEN, "status code: 412 <Code>PreconditionFailed</Code>", BlobExists),
        (Kind.ABSENT, "status code: 404 <Code>NoSuchBucket</Code>", BucketMissing),
        (Kind.OTHER, "status code: 404 <Code>ContainerNotFound</Code>", BucketMissing),
        (Kind.OTHER, 'S3Error { code: "NoSuchBucket", message: "" }', BucketMissing),
        (Kind.ABSENT, "The specified bucket does not exist", BucketMissing),
        (Kind.DENIED, "anything", StoreDenied),
        (Kind.OTHER, "status code: 403 Forbidden", StoreDenied),
        (Kind.OTHER, "status: 401", StoreDenied),
        (Kind.OTHER, "status code: 400 <Code>ExpiredToken</Code>", StoreDenied),
        (Kind.OTHER, "GET http://169.254.169.254/latest: connection refused", StoreDenied),
        (Kind.OTHER, "status code: 507 what", StorageFull),
        (Kind.OTHER, "status code: 403 <Code>QuotaExceeded</Code>", StorageFull),
        (Kind.OTHER, "No space left on device", StorageFull),
        (Kind.OTHER, "status code: 500 <Code>InternalError</Code>", Unavailable),
        (Kind.OTHER, "status code: 503 <Code>SlowDown</Code>", Unavailable),
        (Kind.OTHER, "connection reset by peer", Unavailable),
        (Kind.OTHER, "", Unavailable),
    ],
)
def test_an_error_becomes_what_a_caller_can_act_on(
    kind: Kind, text: str, expected: type[RoostError]
) -> None:
    assert type(translate("s3://b/", "k", kind, text)) is expected


@pytest.mark.parametrize(
    "text", [HTTP + "500", "refused: AccountKey=hush;", "http://h/b?sv=1&sig=hush failed"]
)
def test_a_message_is_one_line_without_secrets(text: str) -> None:
    said = str(translate("s3://b/", "k", Kind.OTHER, f"{text}\n\nDebug source:\nhush"))
    assert "hush" not in said
    assert "\n" not in said


def test_a_range_behind_the_end_is_known_by_status_code_and_words() -> None:
    assert is_beyond_the_end("status code: 416 Range Not Satisfiable")
    assert is_beyond_the_end("<Code>InvalidRange</Code>")
    assert is_beyond_the_end("Wanted range starting at 10, but object was only 10 bytes long")
    assert not is_beyond_the_end("status code: 404")
