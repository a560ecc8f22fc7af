"""How long what is ready waits for more, which would share its frame."""

from __future__ import annotations

SLOW = 200e-6  # seconds: how long a finished reply may wait behind the calls after it, and an item for the next ones
_SENDING_SHARE = 4  # they wait at least so many times as long as it takes to send them
COST_WEIGHT = 0.1  # of the newest in a mean: one that the scheduler held up says little


def leave_by(now: float, sending_cost: float) -> float:
    """When what is ready from now on does not wait any longer."""
    return now + max(SLOW, _SENDING_SHARE * sending_cost)


def mean_with(mean: float, newest: float) -> float:
    """Of seconds."""
    return mean + (newest - mean) * COST_WEIGHT
