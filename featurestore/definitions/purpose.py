"""Purpose for which customers' data may be used, and its lawful basis. Pure."""

from enum import StrEnum
from typing import NamedTuple


class LawfulBasis(StrEnum):
    """Lawful basis on which a purpose processes personal data (GDPR, Article 6)."""

    CONSENT = "consent"  # until the customer withdraws it
    CONTRACT = "contract"  # needed for the customer's order
    LEGAL_OBLIGATION = "legal_obligation"  # a law demands it: no consent, no objection
    LEGITIMATE_INTEREST = "legitimate_interest"  # until the customer objects


class Purpose(NamedTuple):
    """Use of data, described for the customer."""

    name: str
    title: str
    basis: LawfulBasis
    description: str
