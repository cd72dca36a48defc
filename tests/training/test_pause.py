from __future__ import annotations

import signal

import pytest

from sports_clip_pipeline.training.pause import hearing_signals


def test_ctrl_c_waits_for_the_block_to_ask_and_then_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt), hearing_signals() as pause:
        signal.raise_signal(signal.SIGINT)
        assert pause.asked == signal.SIGINT
        pause.end()


def test_sigterm_ends_with_its_status() -> None:
    with pytest.raises(SystemExit) as ended, hearing_signals() as pause:
        signal.raise_signal(signal.SIGTERM)
        pause.end()
    assert ended.value.code == 128 + signal.SIGTERM


def test_a_handler_that_stood_before_hears_the_signal_and_stands_again() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with pytest.raises(SystemExit), hearing_signals() as pause:
            signal.raise_signal(signal.SIGTERM)
            assert not heard
            pause.end()
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_ctrl_c_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), hearing_signals():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
