"""Real servers for tests and benches: each on a free port of 127.0.0.1, in a folder of its own.

with RedisServer() as redis:
    url = redis.new_database()      # "redis://127.0.0.1:41873/1"
    redis.kill(); redis.restart()   # the same port and data

`Kind.missing()` says why a server cannot run here; tests call `require(Kind.missing())`, benches
leave the row out.  All processes end with the Python process that started them.
"""

from roost.testing.servers.available import require
from roost.testing.servers.azurite import AzuriteServer
from roost.testing.servers.mariadb import MariadbServer
from roost.testing.servers.postgres import PostgresServer
from roost.testing.servers.process import Server
from roost.testing.servers.redis import RedisSentinel, RedisServer
from roost.testing.servers.s3 import S3Server

__all__ = [
    "AzuriteServer",
    "MariadbServer",
    "PostgresServer",
    "RedisSentinel",
    "RedisServer",
    "S3Server",
    "Server",
    "require",
]
