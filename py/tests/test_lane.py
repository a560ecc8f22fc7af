from __future__ import annotations

import threading
from time import monotonic

import pytest
from snakepit import _lane


def test_the_self_test_passes_here() -> None:
    assert _lane.choose("auto") == ("direct", "")
    assert _lane.choose("direct") == ("direct", "")


def test_the_iterator_can_be_asked_for() -> None:
    assert _lane.choose("iterator") == ("iterator", "asked for")


@pytest.mark.parametrize("missing", ["SendMessageOperation", "OperationType", "PropagationConstants"])
def test_missing_names_fall_back_and_say_why(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delattr(f"snakepit._lane.cygrpc.{missing}")
    name, reason = _lane.choose("auto")
    assert name == "iterator"
    assert missing in reason
    with pytest.raises(_lane.LaneError, match=missing):
        _lane.choose("direct")


def test_a_changed_signature_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snakepit._lane.cygrpc.SendInitialMetadataOperation", lambda metadata: None)
    assert _lane.choose("auto")[0] == "iterator"


def test_no_cygrpc_at_all_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lane, "cygrpc", None)
    assert _lane.choose("auto")[0] == "iterator"


class _NeverEmpty(_lane.DirectLane):
    """Its port has always something to send."""

    def __init__(self) -> None:
        self._port = self  # type: ignore[assignment]
        self.turns = 0

    def pending(self) -> bool:
        return True

    def turn(self) -> bool:
        self.turns += 1
        return True

    def flush(self) -> None:
        pass


def test_to_send_all_ends_when_its_time_is_over_though_there_is_ever_more() -> None:
    lane = _NeverEmpty()
    thread = threading.Thread(target=lambda: lane.flush_all(monotonic() + 0.5), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert lane.turns > 0
