# Computes, and asks C++ for the rows that it needs as it goes.
import statistics

import snakepit


@snakepit.tool
def report() -> list:
    lines = []
    for customer in snakepit.host.customers():
        amounts = [row["cents"] for row in snakepit.host.orders_of(customer)]
        if amounts:
            lines.append(f"{customer}: {len(amounts)} orders, median {statistics.median(amounts) / 100:.2f}")
    try:
        snakepit.host.orders_of("nobody")
    except snakepit.HostToolError as error:
        lines.append(f"{type(error).__name__}: {error}")
    return lines
