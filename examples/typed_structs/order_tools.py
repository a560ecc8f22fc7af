"""Structs of C++ arrive as maps and leave as maps."""

import snakepit


@snakepit.tool
def invoice(order: dict, tax_percent: float) -> dict:
    """Prices in cents, so that nothing is lost by rounding twice."""
    net = sum(line["count"] * line["cents"] for line in order["lines"])
    tax = round(net * tax_percent / 100)
    return {"customer": order["customer"], "net": net, "tax": tax, "total": net + tax}


@snakepit.tool
def largest(orders: list) -> dict:
    return max(orders, key=lambda order: sum(line["count"] * line["cents"] for line in order["lines"]))
