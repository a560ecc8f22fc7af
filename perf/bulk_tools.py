from time import perf_counter

import snakepit


@snakepit.tool
def echo(payload):
    return payload


def _busy(seconds):
    until = perf_counter() + seconds
    while perf_counter() < until:
        pass


@snakepit.tool
def costly(payload):
    """50 us for itself and 2 us for what it is given."""
    _busy(52e-6)
    return payload


@snakepit.tool(batch=True)
def costly_together(payloads):
    """The same for many."""
    _busy(50e-6 + 2e-6 * len(payloads))
    return payloads
