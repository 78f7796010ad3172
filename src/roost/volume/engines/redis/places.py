"""Where a Redis URL points: one server, the master that Sentinels name, or a node of a cluster.

Source: the volume format reference, section 2.1; JuiceFS Community 1.4, pkg/meta/redis.go.
"""

import os
import ssl
from dataclasses import dataclass, field
from socket import create_connection
from typing import Any

import hiredis
from redis.crc import key_slot
from redis.exceptions import RedisError
from redis.sentinel import Sentinel

from roost.errors import InvalidArgument
from roost.volume.engines.redis.connection import Connection
from roost.volume.engines.redis.errors import NoMaster, NotNow
from roost.volume.engines.redis.stream import CONNECT_WAIT_S, Address
from roost.volume.engines.registry import MetaUrl

PORT = 6379
SENTINEL_PORT = 26379
REDIRECTS_MAX = 5


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL says."""

    display: str
    addresses: tuple[Address, ...]  # of servers, or of Sentinels if there is a `master`
    master: str = ""
    database: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def in_cluster(self) -> bool:
        """True if the URL names several servers."""
        return len(self.addresses) > 1 and not self.master

    def __str__(self) -> str:
        return self.display


def place_of(url: MetaUrl) -> Place:
    """Return what a URL of redis, rediss or unix says.  Raises InvalidArgument."""
    try:
        database = int(url.database or 0)
    except ValueError as error:
        raise InvalidArgument(
            f"not the number of a Redis database: {url.database!r}",
            hint="Write redis://HOST:PORT/NUMBER; for a file write sqlite3://PATH.",
        ) from error
    tls = _tls(url) if url.scheme == "rediss" else None
    master = ""
    if url.scheme == "unix":
        addresses: tuple[Address, ...] = (Address(path=url.path),)
    elif len(url.hosts) > 1 and ":" not in url.hosts[0]:
        master, port = url.hosts[0], _address(url.hosts[-1], SENTINEL_PORT).port
        addresses = tuple(_address(host, port) for host in url.hosts[1:])
    else:
        addresses = tuple(_address(host, PORT) for host in url.hosts)
    return Place(url.display, addresses, master, database, url.user, url.password, tls)


def _address(host: str, port: int) -> Address:
    name, found, number = host.rpartition(":")
    if host.startswith("["):  # IPv6
        name, _, number = host[1:].partition("]")
        found, number = number[:1], number[1:]
    if not found:
        return Address(name or host, port)
    try:
        return Address(name or "127.0.0.1", int(number))
    except ValueError as error:
        raise InvalidArgument(f"not a port: {number!r} of {host!r}") from error


def _tls(url: MetaUrl) -> ssl.SSLContext:
    """Return the context that JuiceFS's options ask for.  Raises InvalidArgument."""
    try:
        context = ssl.create_default_context(cafile=url.option("tls-ca-cert-file") or None)
        certificate = url.option("tls-cert-file")
        if certificate:
            context.load_cert_chain(certificate, url.option("tls-key-file") or None)
    except OSError as error:
        raise InvalidArgument(f"cannot use the TLS files of {url.display}: {error}") from error
    if url.option("insecure-skip-verify") in ("true", "1"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def find(place: Place) -> Address:
    """Return a server to begin with.  Raises OSError if nobody answers, NoMaster."""
    if not place.master:
        return _first_that_answers(place.addresses)
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        [(address.host, address.port) for address in place.addresses],
        socket_timeout=CONNECT_WAIT_S,
        sentinel_kwargs={
            "username": os.environ.get("SENTINEL_USERNAME") or None,
            "password": os.environ.get("SENTINEL_PASSWORD") or None,
            "socket_timeout": CONNECT_WAIT_S,
        },
    )
    try:
        host, port = sentinel.discover_master(place.master)
    except RedisError as error:
        asked = ", ".join(map(str, place.addresses))
        raise NoMaster(f"no Sentinel of {asked} names a master {place.master!r}") from error
    return Address(host, port)


def _first_that_answers(addresses: tuple[Address, ...]) -> Address:
    for address in addresses[:-1]:
        try:
            create_connection((address.host, address.port), CONNECT_WAIT_S).close()
        except OSError:
            continue
        return address
    return addresses[-1]


def owner(connection: Connection, prefix: bytes, here: Address) -> Address | None:
    """Return the node of a cluster that has the slot of our keys; None if it is this one."""
    reply = connection.call([("CLUSTER", "SLOTS")])[0]
    if isinstance(reply, hiredis.ReplyError):
        raise NotNow(f"the cluster does not say who has which keys: {reply}")
    slot = key_slot(prefix)
    for first, last, node, *_ in reply:
        if first <= slot <= last:
            host = node[0].decode() if node[0] else here.host
            found = Address(host, node[1])
            mine = connection.call([("CLUSTER", "MYID")])[0]
            is_here = len(node) > 2 and node[2] == mine
            return None if is_here else found
    raise NotNow("no node of the cluster has our keys")
