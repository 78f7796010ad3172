"""What a process counts, in Prometheus's form."""

from prometheus_client import Counter, Gauge, start_http_server

from roost.errors import InvalidArgument, Unavailable

OBJECT_READ_BYTES = Counter(
    "roost_object_read_bytes", "Bytes of objects read from the store by this process."
)
OBJECT_WRITTEN_BYTES = Counter(
    "roost_object_written_bytes", "Bytes of objects written to the store by this process."
)
BLOCK_READS = Counter("roost_block_reads", "Blocks read, by where they were found.", ["source"])
STAGED_BLOCKS = Gauge(
    "roost_staged_blocks", "Blocks of write-back that only this host's disk holds."
)
STAGED_BYTES = Gauge("roost_staged_bytes", "Bytes of write-back that only this host's disk holds.")


def serve(host: str, port: int) -> None:
    """Answer `GET /metrics` on that port from a thread of its own.

    Raises Unavailable if the port is taken, InvalidArgument if it is none.
    """
    try:
        start_http_server(port, host)
    except OverflowError:
        raise InvalidArgument(f"{port} is not a port", hint="Choose 1 to 65535.") from None
    except OSError as error:
        raise Unavailable(
            f"cannot serve metrics on {host}:{port}: {error.strerror}",
            hint="Choose another metrics port, or stop what uses it.",
        ) from error
