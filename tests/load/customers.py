"""Customers and queries of the load, shared by Locust's process and the test's."""

CUSTOMER_PREFIX = "l"  # of customer ids, followed by a number
CHANGING_CUSTOMERS = 50
"""The first customers, whose consents change; all other requests are about other customers."""
BURST_READS, BATCH_CUSTOMERS = 50, 100
"""Reads of a burst; customers of a batch read."""
SUPPORT = {"service": "support_chat", "purpose": "service"}
SALES = {"service": "sales_chat", "purpose": "personalisation"}
