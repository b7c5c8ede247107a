"""Ctrl-C as a request."""

import os
import signal
import threading

import pytest

from engine.process.stop import stop_request

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send to oneself")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number):
    before = signal.getsignal(number)
    said = []
    with stop_request(said.append) as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(5)
        assert said == ["stopping: finishing what is under way (again to stop at once)"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


@posix
def test_a_message_that_falls_into_another_print_is_left_out():
    def reentrant(_):
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    with stop_request(reentrant) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(5)


def test_in_another_thread_nobody_asks():
    given = []

    def enter():
        with stop_request(print) as stop:
            given.append(stop.is_set())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert given == [False]
