"""Ctrl-C as a request."""

import logging
import os
import signal
import threading

import pytest

from engine.process import stop as stop_module
from engine.process.stop import stop_request

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send to oneself")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number, caplog):
    caplog.set_level(logging.INFO)
    before = signal.getsignal(number)
    with stop_request() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(5)
        assert caplog.messages == ["stopping: finishing what is under way (again to stop at once)"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


@posix
def test_a_message_that_falls_into_another_print_is_left_out(monkeypatch):
    def reentrant(*_):
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    monkeypatch.setattr(stop_module._log, "info", reentrant)
    with stop_request() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(5)


def test_in_another_thread_nobody_asks():
    given = []

    def enter():
        with stop_request() as stop:
            given.append(stop.is_set())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert given == [False]
