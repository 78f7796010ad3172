"""TLS to a MySQL server: who asks for it never goes on without."""

import ssl

import pytest

from roost.errors import InvalidArgument, Unavailable
from roost.volume.engines.registry import parse_url
from roost.volume.engines.sql_servers.mysql import _tls_context
from roost.volume.engines.sql_servers.opening import server_of


@pytest.mark.parametrize("mode", ["true", "skip-verify"])
def test_a_server_without_tls_is_told_nothing_if_tls_is_asked_for(
    mariadb_url: str, mode: str
) -> None:
    """The driver would go on in clear text, password and all."""
    with pytest.raises(Unavailable, match="SSL is required"):
        server_of(parse_url(f"{mariadb_url}?tls={mode}"))


@pytest.mark.parametrize("mode", ["preferred", "false", "0"])
def test_a_server_without_tls_is_used_if_tls_is_not_asked_for(mariadb_url: str, mode: str) -> None:
    server_of(parse_url(f"{mariadb_url}?tls={mode}")).connect().close()


def test_a_name_for_tls_that_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="'mine' is not known") as refusal:
        server_of(parse_url("mysql://u:secret@h/db?tls=mine"))
    assert "skip-verify" in refusal.value.hint
    assert "secret" not in str(refusal.value)


def test_only_who_says_so_takes_any_certificate() -> None:
    verified, any_of_them = (_tls_context(mode) for mode in ("true", "skip-verify"))
    assert verified is not None
    assert (verified.verify_mode, verified.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert any_of_them is not None
    assert any_of_them.verify_mode == ssl.CERT_NONE
