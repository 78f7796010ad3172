"""Another client keeps a directory's row in a transaction that does not end."""

import threading
import time

import pytest

from roost.errors import TimedOut
from roost.volume.engines.sql_servers import engine
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT
from tests.volume.engines.sql.conftest import Clients


def test_a_change_that_needs_a_held_row_ends_and_others_go_on(
    clients: Clients, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "HELD_FOR_S", 1.0)
    held, free = meta.mkdir(ROOT, b"held").ino, meta.mkdir(ROOT, b"free").ino
    errors: list[BaseException] = []

    def create(name: bytes) -> None:
        try:
            meta.create(held, name)
        except TimedOut as error:
            errors.append(error)

    holder = clients.server.connect()
    holder.run(
        [
            *clients.server.begin(),
            ("SELECT inode FROM jfs_node WHERE inode = ? FOR UPDATE", (held,)),
        ]
    )
    began_s = time.monotonic()
    threads = [threading.Thread(target=create, args=(b"%d" % n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    for number in range(5):
        meta.create(free, b"%d" % number)
    assert any(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert time.monotonic() - began_s < 25
    holder.close()
    assert len(errors) == 4
    assert all("another client" in str(error) for error in errors)
    meta.create(held, b"later")
