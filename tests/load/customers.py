"""Who is talked with, and what is asked about them: what Locust's process and ours agree on."""

CUSTOMER_PREFIX = "l"  # of the customers' ids, which are numbered
CHANGING_CUSTOMERS = 50
"""The first customers are kept for those who change their mind: nobody else's answers depend on their consent."""
BURST_READS, BATCH_CUSTOMERS = 50, 100
"""Reads that come at once; customers that a desk sees at once."""
SUPPORT = {"service": "support_chat", "purpose": "service"}
SALES = {"service": "sales_chat", "purpose": "personalisation"}
