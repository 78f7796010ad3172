"""How gRPC carries large messages between members."""

from roost.sizes import MIB

LARGE_MESSAGES = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # 51 MB in frames of 1 MiB: 71 ms with gRPC's defaults of 16 KiB and 64 KiB, 42 ms with these.
    ("grpc.http2.max_frame_size", 8 * MIB),
    ("grpc.http2.lookahead_bytes", 32 * MIB),
)
"""Options of channels and servers alike."""
