"""JuiceFS's spellings of an Azure container."""

import pytest

from roost.blob.azure_address import CONNECTION_STRING, azure_address
from roost.errors import InvalidArgument


def test_the_connection_string_says_all_but_the_container() -> None:
    stated = (
        "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==;EndpointSuffix=core.x"
    )
    found = azure_address("https://photos", "", "", "", {CONNECTION_STRING: stated})
    assert (found.container, found.account, found.key) == ("photos", "acc", "a2V5==")
    assert found.endpoint == "https://acc.blob.core.x"


def test_the_connection_string_may_name_the_endpoint_itself() -> None:
    stated = "AccountName=acc;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:10000/acc/;"
    found = azure_address(
        "https://photos.core.windows.net", "x", "y", "", {CONNECTION_STRING: stated}
    )
    assert found.endpoint == "http://127.0.0.1:10000/acc"
    assert found.account == "acc", "it wins over the keys, as in JuiceFS"


def test_the_emulator_has_a_word_of_its_own() -> None:
    found = azure_address("photos", "", "", "", {CONNECTION_STRING: "UseDevelopmentStorage=true"})
    assert found.endpoint == "http://127.0.0.1:10000/devstoreaccount1"


@pytest.mark.parametrize(
    ("bucket", "endpoint"),
    [
        ("https://photos.core.windows.net", "https://acc.blob.core.windows.net"),
        ("https://photos.blob.core.windows.net", "https://acc.blob.core.windows.net"),
        ("photos.core.chinacloudapi.cn", "https://acc.blob.core.chinacloudapi.cn"),
        ("photos", "https://acc.blob.core.windows.net"),
        ("http://photos.core.test", "http://acc.blob.core.test"),
    ],
)
def test_account_and_key_go_with_the_endpoint_behind_the_container(
    bucket: str, endpoint: str
) -> None:
    found = azure_address(bucket, "acc", "a2V5", "?sig=1", {})
    assert (found.container, found.endpoint) == ("photos", endpoint)
    assert (found.key, found.sas_token) == ("a2V5", ""), "the key wins"


def test_a_token_is_used_where_there_is_no_key() -> None:
    found = azure_address("photos", "acc", "", " ?sv=1&sig=2 ", {})
    assert (found.key, found.sas_token) == ("", "sv=1&sig=2")


def test_secrets_do_not_show() -> None:
    shown = repr(azure_address("photos", "acc", "SECRET", "", {}))
    assert "SECRET" not in shown


@pytest.mark.parametrize(
    ("bucket", "account", "stated"),
    [
        ("", "acc", ""),
        ("ftp://x", "acc", ""),
        ("https://x/y/z", "acc", ""),
        ("photos", "", ""),
        ("photos", "acc", "AccountName"),
        ("photos", "acc", "AccountKey=x"),
        ("photos", "acc", "AccountName=x;BlobEndpoint=what"),
    ],
)
def test_what_cannot_be_right_is_refused(bucket: str, account: str, stated: str) -> None:
    with pytest.raises(InvalidArgument):
        azure_address(bucket, account, "k", "", {CONNECTION_STRING: stated} if stated else {})
