"""Where members are reached, from settings."""

from pathlib import Path

import pytest

from roost.app.data_directory import prepare
from roost.app.members import _member_settings
from roost.config.settings import Settings


@pytest.mark.parametrize(
    ("host", "member_host", "bound", "reached", "for_clients"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:7", "127.0.0.1:19530"),
        (
            "0.0.0.0",
            "reader-1.cluster",
            "0.0.0.0:0",
            "reader-1.cluster:7",
            "reader-1.cluster:19530",
        ),
        ("::", "reader-1.cluster", "[::]:0", "reader-1.cluster:7", "reader-1.cluster:19530"),
        ("0.0.0.0", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:7", "127.0.0.1:19530"),
        ("10.0.0.5", "10.1.0.5", "10.1.0.5:0", "10.1.0.5:7", "10.0.0.5:19530"),
        ("::1", "::1", "[::1]:0", "[::1]:7", "[::1]:19530"),
    ],
)
def test_a_member_is_listed_where_others_can_reach_it(
    tmp_path: Path, host: str, member_host: str, bound: str, reached: str, for_clients: str
) -> None:
    settings = Settings(data=tmp_path, host=host, member_host=member_host)
    member = _member_settings(settings, prepare(settings))
    assert member.address == bound
    assert member.reached_at(bound.removesuffix("0") + "7") == reached
    assert member.client_address == for_clients


def test_search_threads_of_the_engine_count_for_readers_too(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, engine={"search_threads": 3})
    assert _member_settings(settings, prepare(settings)).search_threads == 3


def test_without_a_milvus_port_no_client_is_sent_there(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, port=0)
    assert _member_settings(settings, prepare(settings)).client_address == ""
