"""Stores of a process that forked are not used in its child.

The store libraries run their requests on threads of their own, which a fork does not copy: a child
that used them would wait for ever (measured with both).  So the first use marks the process, and a
child of it is refused with a word instead.  A child that forked before the first use is free.

Invariant: `_owner` is 0 or the id of the process whose library threads are in this memory.
"""

import os
import threading

from roost.errors import Unavailable

_lock = threading.Lock()
_owner = 0


def claim() -> None:
    """Note that this process uses a store library.  Raises Unavailable if its parent did."""
    global _owner
    mine = os.getpid()
    if _owner == mine:
        return
    with _lock:
        if _owner == 0:
            _owner = mine
        if _owner != mine:
            raise Unavailable(
                f"process {mine} was forked from {_owner}, which had opened object stores",
                hint='Start workers with multiprocessing\'s "spawn" or "forkserver" method.',
            )
