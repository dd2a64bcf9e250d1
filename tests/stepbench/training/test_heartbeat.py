import pytest

from stepbench.training import heartbeat
from stepbench.training.heartbeat import SLOW_STEP_S, after_slow_steps, after_untimed_steps
from stepbench.training.phases import no_end
from support.fake_players import Stage


def test_a_message_follows_each_slow_step() -> None:
    messages: list[str] = []
    end_step = after_slow_steps(messages.append, "bare turn", SLOW_STEP_S)
    end_step()
    end_step()
    assert messages == ["bare turn, step 1", "bare turn, step 2"]


def test_nothing_happens_between_other_steps() -> None:
    assert after_slow_steps(pytest.fail, "bare turn", 0.99 * SLOW_STEP_S) is no_end


def test_untimed_steps_report_at_most_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, messages = Stage(), list[str]()
    monkeypatch.setattr(heartbeat, "time", clock)
    end_step = after_untimed_steps(messages.append, "training", 500)
    for _ in range(10):
        clock.now_s += 0.375 * SLOW_STEP_S
        end_step()
    assert messages == ["training, step 503", "training, step 506", "training, step 509"]
