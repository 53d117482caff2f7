"""Requests to stop: counted, then an interrupt, and nothing outside the main thread."""

import signal
import threading

import pytest

from texneg.cli.signals import catch_stop_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
