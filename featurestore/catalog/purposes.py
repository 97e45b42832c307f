"""Purposes for which customers' data may be used. Pure.

Every view and service names purposes of this list. `manage.py seed` records them in the database, for consent to them.
"""

from featurestore.definitions import LawfulBasis, Purpose

PURPOSES = (
    Purpose("service", "Help in conversations", LawfulBasis.CONSENT,
            "Our support sees your recent orders, tickets and messages, so that you need not repeat yourself."),
    Purpose("personalisation", "Personal recommendations", LawfulBasis.CONSENT,
            "What you look at and buy decides what our assistant suggests to you."),
    Purpose("analytics", "Improving the shop", LawfulBasis.LEGITIMATE_INTEREST,
            "How you use the shop is counted, so that we can improve it. You may object."),
    Purpose("fraud", "Preventing fraud", LawfulBasis.LEGAL_OBLIGATION,
            "Orders are checked for signs of misuse, as the law on payments requires."),
)  # fmt: skip
