"""Finding the writer over fail-overs, and tips that serve many questions at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pyarrow as pa
import pytest

from roost.clock import SystemClock
from roost.cluster.members import StaticDirectory
from roost.cluster.rpc import methods
from roost.cluster.rpc.server import RpcServer
from roost.cluster.writer_link import Tips, WriterLink
from roost.errors import CommitUnknown, LeaseLost, RoostError, Unavailable
from roost.vector import api
from roost.vector.catalog.values import Member
from tests.cluster.conftest import rows


class FakeWriter:
    """Answers tips and inserts as told."""

    def __init__(self) -> None:
        self.tips = 0
        self.inserts = 0
        self.error: RoostError | None = None
        self.hold = threading.Event()
        self.hold.set()
        self.entered = threading.Event()

    def tip(self) -> int:
        self.tips += 1
        mine = self.tips
        self.entered.set()
        self.hold.wait(10)
        if self.error is not None:
            raise self.error
        return mine

    def insert(self, request: api.InsertRequest) -> api.MutationAnswer:
        self.inserts += 1
        self.entered.set()
        self.hold.wait(10)
        if self.error is not None:
            raise self.error
        return api.MutationAnswer(pa.array([1]), 1, 5)


class Scene:
    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.writer = FakeWriter()
        self.server = self.serve(self.writer)
        self.directory = StaticDirectory([Member("w", "rw", self.server.address)])
        self.link = WriterLink(self.directory, SystemClock(), failover_wait_s=5.0)
        stack.callback(self.link.close)

    def serve(self, writer: FakeWriter, address: str = "127.0.0.1:0") -> RpcServer:
        server = RpcServer(address)
        server.add((methods.TIP, methods.INSERT), writer)
        server.start()
        self.stack.callback(server.stop)
        return server


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack)


def test_one_call_serves_all_questions_that_came_before_it_was_sent(scene: Scene) -> None:
    tips = Tips(scene.link)
    scene.writer.hold.clear()
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(tips.tip(5.0))) for _ in range(20)]
    threads[0].start()
    assert scene.writer.entered.wait(5)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.2)  # all of them wait now, behind a call whose answer may be too old for them
    assert scene.writer.tips == 1
    scene.writer.hold.set()
    for thread in threads:
        thread.join()
    assert scene.writer.tips == 2
    assert sorted(answers) == [1] + [2] * 19


def test_a_failed_tip_fails_its_own_questions_only(scene: Scene) -> None:
    tips = Tips(scene.link)
    scene.writer.error = Unavailable("recovering")
    with pytest.raises(Unavailable, match="recovering"):
        tips.tip(0.2)
    scene.writer.error = None
    assert tips.tip(1.0) > 0


def test_a_question_for_a_tip_that_breaks_in_an_unforeseen_way_gives_nobody_a_timestamp() -> None:
    class BrokenLink:
        asked = threading.Event()
        go_on = threading.Event()
        calls = 0

        def call(self, *_: object, **__: object) -> int:
            self.calls += 1
            if self.calls == 1:
                self.asked.set()
                self.go_on.wait(10)
                return 1
            self.asked.clear()
            raise ValueError("a bug")

    link = BrokenLink()
    tips = Tips(link)  # type: ignore[arg-type]  # only `call` is used
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(tips.tip(10))
        except (ValueError, Unavailable) as error:
            answers.append(type(error))

    threads = [threading.Thread(target=ask)]
    threads[0].start()
    link.asked.wait(10)
    threads += [threading.Thread(target=ask) for _ in range(2)]  # these share the next call
    for thread in threads[1:]:
        thread.start()
    while len(tips._turn._waiters) < 2:  # type: ignore[attr-defined]
        threads[0].join(0.01)
    link.go_on.set()
    for thread in threads:
        thread.join(10)
    assert sorted(map(str, answers)) == sorted(map(str, [1, ValueError, Unavailable]))


def test_a_repeatable_call_outlasts_a_fail_over(scene: Scene) -> None:
    assert scene.link.call(methods.TIP, None, 1.0, repeatable=True) == 1
    address = scene.server.address
    scene.server.stop()
    successor = FakeWriter()
    successor.tips = 100
    threading.Timer(0.5, lambda: scene.serve(successor, address)).start()
    assert scene.link.call(methods.TIP, None, 1.0, repeatable=True) == 101


def test_a_deposed_writer_is_asked_again_until_there_is_another(scene: Scene) -> None:
    scene.writer.error = LeaseLost("deposed")
    threading.Timer(0.3, lambda: setattr(scene.writer, "error", None)).start()
    assert scene.link.call(methods.TIP, None, 1.0, repeatable=True) > 1


def test_without_a_writer_a_call_ends_within_its_bound(scene: Scene) -> None:
    scene.server.stop()
    begun_s = time.monotonic()
    with pytest.raises(Unavailable):
        scene.link.call(methods.TIP, None, 1.0, repeatable=True, wait_s=0.3)
    assert time.monotonic() - begun_s < 3


def test_a_write_whose_answer_was_lost_is_unknown_and_not_sent_twice(scene: Scene) -> None:
    request = api.InsertRequest("things", rows(0, 1))
    scene.link.call(methods.INSERT, request, 1.0, repeatable=False)
    scene.writer.hold.clear()
    scene.writer.entered.clear()
    caught: list[BaseException] = []

    def write() -> None:
        try:
            scene.link.call(methods.INSERT, request, 10.0, repeatable=False)
        except RoostError as error:
            caught.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    assert scene.writer.entered.wait(5)
    scene.server.stop()
    thread.join(10)
    scene.writer.hold.set()
    assert isinstance(caught[0], CommitUnknown)
    assert scene.writer.inserts == 2


def test_a_write_that_was_never_sent_waits_for_the_next_writer(scene: Scene) -> None:
    request = api.InsertRequest("things", rows(0, 1))
    address = scene.server.address
    scene.server.stop()
    successor = FakeWriter()
    threading.Timer(0.5, lambda: scene.serve(successor, address)).start()
    answer = scene.link.call(methods.INSERT, request, 1.0, repeatable=False)
    assert (answer.count, successor.inserts) == (1, 1)
