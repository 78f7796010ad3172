"""The writing side of one process: the only one that logs, commits manifests and defines things."""

import pyarrow as pa

from roost.vector import api
from roost.vector.engine.follow import Listener, Subscription


class WriterEngine:
    """All changes of all collections, by the holder of the lease.  Safe to call from many threads.

    Every write returns after: log append, fsync, lease check, visible (hazard H1).
    After `LeaseLost` or a log failure nothing is acknowledged any more: close it.
    """

    def insert(self, request: api.InsertRequest) -> api.MutationAnswer:
        """As in VectorService."""
        raise NotImplementedError

    def delete(self, request: api.DeleteRequest) -> api.MutationAnswer:
        """As in VectorService; a filter is evaluated at the newest state, in the order of writes."""
        raise NotImplementedError

    def tip(self) -> int:
        """Return a timestamp that covers every acknowledged write, under a lease check (Strong).

        The feed's watermark reaches it without further writes.  Raises LeaseLost.
        """
        raise NotImplementedError

    def subscribe(self, listener: Listener) -> Subscription:
        """Follow this writer; the protocol is described in `follow`."""
        raise NotImplementedError

    def unsubscribe(self, token: int) -> None:
        """Stop following."""
        raise NotImplementedError

    @property
    def generation(self) -> int:
        """The generation of this writer's lease."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop background work, give the lease back and release all files."""
        raise NotImplementedError
