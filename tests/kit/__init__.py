"""Set-ups that tests of several packages share: databases, stores, customers with consent, clocks, the oracle."""
