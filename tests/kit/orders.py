"""Events of the orders source, encoded."""

from datetime import UTC, datetime
from decimal import Decimal

from featurestore.catalog.orders import OrderLine, orders

SUBJECT = "0123456789abcdef0123456789abcdef"
TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)


def order(number: int = 1, subject: str = SUBJECT) -> bytes:
    line = OrderLine(kind="completed", order_id=f"O{number}", sku="LAMP", quantity=2, amount=Decimal("49.90"))
    return orders.encode(id=f"e{number}", source="tests", subject=subject, time=TIME, data=line)
