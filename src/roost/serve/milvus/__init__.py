"""Milvus 2.x and 3.x over gRPC: translation only, over any `VectorService`.

`service.serve` opens the port.  Handlers translate the request (`wire`), ask the service and
translate its answer back; they cannot tell an engine in this process from a router.
"""
