"""What members say to each other: gRPC on threads, values of the engine on both sides.

`methods` is the table of calls, `peer` the client's side, `server` the server's; `errors` carries
failures across.  Messages are generated from `proto/roost.proto`.
"""
