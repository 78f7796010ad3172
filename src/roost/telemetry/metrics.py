"""What a process counts, in Prometheus's form."""

from prometheus_client import Counter, start_http_server

OBJECT_READ_BYTES = Counter(
    "roost_object_read_bytes", "Bytes of objects read from the store by this process."
)
OBJECT_WRITTEN_BYTES = Counter(
    "roost_object_written_bytes", "Bytes of objects written to the store by this process."
)


def serve(host: str, port: int) -> None:
    """Answer `GET /metrics` on that port from a thread of its own."""
    start_http_server(port, host)
