"""Ask once, and the flag is set; ask twice, and it ends."""

from __future__ import annotations

import signal
import threading

import pytest

from henkan.training.signals import StopSignals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_sets_a_flag(number: int) -> None:
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert signals.received is None
        signal.raise_signal(number)
        assert signals.received == number
    assert signal.getsignal(number) is before


def test_the_second_ctrl_c_interrupts() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in what runs behind
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_another_thread_installs_nothing() -> None:
    seen: list[object] = []

    def enter() -> None:
        with StopSignals() as signals:
            seen.extend([signal.getsignal(signal.SIGINT), signals.received])

    thread = threading.Thread(target=enter)
    before = signal.getsignal(signal.SIGINT)
    thread.start()
    thread.join()
    assert seen == [before, None]
