"""Requests to stop: counted, then an interrupt, and nothing outside the main thread."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from texneg.cli.signals import (
    STOP_SIGNALS,
    await_stop_signals,
    block_stop_signals,
    catch_stop_signals,
    early_requests,
    ignore_stop_signals,
)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_signals_are_counted_and_the_handler_is_restored(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with catch_stop_signals() as stop:
        assert not stop.is_set()
        for count in (1, 2, 3):
            signal.raise_signal(number)
            assert (stop.count, stop.is_set()) == (count, True)
    assert signal.getsignal(number) is before


def test_patience_ends_with_an_interrupt() -> None:
    with catch_stop_signals(patience=1) as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert stop.count == 2


def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with catch_stop_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            signal.raise_signal(signal.SIGUSR1)
        assert stop.count == 1
    finally:
        signal.signal(signal.SIGHUP, before)


def test_processes_that_start_while_signals_are_blocked_outlive_them() -> None:
    code = "import sys, signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    with catch_stop_signals() as stop:
        with block_stop_signals(spawning=True):
            for number in STOP_SIGNALS:
                signal.raise_signal(number)
            assert stop.count == 0
            blocked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert stop.count == len(STOP_SIGNALS)
    assert blocked.stdout == f"{sorted(STOP_SIGNALS)}\n"


def test_a_fork_ignores_signals_that_came_before_it_said_so() -> None:
    with block_stop_signals():
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGTERM)
            ignore_stop_signals()
            for number in STOP_SIGNALS:
                os.kill(os.getpid(), number)
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_another_thread_catches_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def look() -> None:
        with catch_stop_signals() as stop:
            seen.extend((signal.getsignal(signal.SIGINT), stop.count))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before, 0]


def test_the_work_that_a_signal_interrupted_can_tidy_up() -> None:
    with catch_stop_signals(patience=0, once=True) as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stop.count == 2


def test_a_signal_before_a_process_catches_any_is_counted() -> None:
    old = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        with block_stop_signals():
            signal.raise_signal(signal.SIGTERM)
            await_stop_signals()
            early = early_requests()
            assert early is not None
            assert early.count == 1
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
