"""A worker process replies, or is lost with a reason; nothing that it writes breaks the protocol."""

import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from edgesearch.bench.process import Worker, WorkerGone, describe
from edgesearch.errors import EdgesearchError

LONG_S = 60.0
ECHO = """
import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    do = request.get("do")
    if do == "abort":
        print("GGML_ASSERT(n > 0) failed", file=sys.stderr, flush=True)
        os.abort()
    if do == "leave":
        sys.exit(7)
    if do == "later":
        later = request
        continue
    if do == "now":
        print(json.dumps({"id": request["id"], "reply": do}))
        request, do = later, "later"
    if do == "hang":
        time.sleep(600)
    if do == "close":
        os.close(1)
        time.sleep(600)
    if do == "noise":
        print("Loading weights: 100%|####|", "[1, 2]", "{not json", '{"id": 0, "reply": "old"}', "[" * 100_000, sep=chr(10))
        sys.stdout.flush()
        os.write(1, bytes([255, 254, 10]))
    print(json.dumps({"id": request["id"], "reply": do}), flush=True)
"""  # noqa: E501


@pytest.fixture
def start() -> Iterator[Callable[[], Worker]]:
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker([sys.executable, "-c", ECHO]))
        return started[-1]

    yield start
    for worker in started:
        worker.close()


def test_each_message_gets_its_reply(start: Callable[[], Worker]):
    worker = start()
    assert [worker.ask({"do": word}, LONG_S)["reply"] for word in ("one", "two")] == ["one", "two"]


def test_whatever_else_is_written_to_stdout_is_passed_over(start: Callable[[], Worker]):
    worker = start()
    assert worker.ask({"do": "noise"}, LONG_S)["reply"] == "noise"
    assert worker.ask({"do": "next"}, LONG_S)["reply"] == "next"


def test_a_message_larger_than_a_pipe_gets_its_reply(start: Callable[[], Worker]):
    text = "x" * 1_000_000
    assert start().ask({"do": text}, LONG_S)["reply"] == text


@pytest.mark.skipif(sys.platform == "win32", reason="signals are told the POSIX way")
def test_a_crash_is_told_by_its_signal_and_the_last_line(start: Callable[[], Worker]):
    with pytest.raises(WorkerGone, match=r"signal SIGABRT; its last line: GGML_ASSERT\(n > 0\) failed"):
        start().ask({"do": "abort"}, LONG_S)


def test_an_exit_is_told_by_its_code(start: Callable[[], Worker]):
    with pytest.raises(WorkerGone, match="it ended with exit code 7"):
        start().ask({"do": "leave"}, LONG_S)


def test_a_worker_that_ended_between_two_messages_is_lost_at_the_next(start: Callable[[], Worker]):
    worker = start()
    worker.ask({"do": "one"}, LONG_S)
    worker.kill()
    with pytest.raises(WorkerGone, match="it ended with"):
        worker.ask({"do": "two"}, LONG_S)


def test_a_worker_that_does_not_reply_in_time_is_killed(start: Callable[[], Worker]):
    worker = start()
    worker.ask({"do": "one"}, LONG_S)
    with pytest.raises(WorkerGone, match=r"no reply within 0\.2 s and was killed"):
        worker.ask({"do": "hang"}, 0.2)


def test_several_messages_may_wait_and_replies_come_in_their_own_order(start: Callable[[], Worker]):
    worker = start()
    first, second = worker.send({"do": "later"}), worker.send({"do": "now"})
    replies = [worker.receive(LONG_S) for _ in range(2)]
    assert [(reply["id"], reply["reply"]) for reply in replies] == [(second, "now"), (first, "later")]


def test_a_worker_that_is_gone_stays_gone_for_whoever_asks(start: Callable[[], Worker]):
    worker = start()
    worker.send({"do": "later"})
    worker.send({"do": "leave"})
    for _ in range(3):
        with pytest.raises(WorkerGone, match="it ended with exit code 7"):
            worker.receive(LONG_S)


def test_a_program_that_is_not_there_is_an_error_that_names_it():
    with pytest.raises(EdgesearchError, match="no-such-program"):
        Worker(["no-such-program"])


def test_closing_twice_is_fine(start: Callable[[], Worker]):
    worker = start()
    worker.close()
    worker.close()


def test_endings_are_told_in_words():
    assert describe(3) == "exit code 3"
    if sys.platform != "win32":
        assert describe(-signal.SIGKILL) == "signal SIGKILL"
    assert describe(-99) == "signal 99"
