"""Ctrl-C ends the work once, and never the cleaning up."""

from __future__ import annotations

import os
import signal

import pytest

from undertone.demo.interrupts import interrupted_once


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_later_ones_do_nothing(number: signal.Signals) -> None:
    cleaned = []

    def work() -> None:
        with interrupted_once():
            try:
                os.kill(os.getpid(), number)
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGTERM)
                cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert cleaned


def test_nothing_interrupts_once_the_end_has_begun() -> None:
    with interrupted_once() as ignore:
        ignore()
        os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupted_once():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
