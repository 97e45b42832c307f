"""Consent journal: every change of a permission, in a Kafka topic outside the database, so that a lost one is noticed.

A database that was restored, or whose replica was promoted too early, has lost commits: among them withdrawals that
were acknowledged. Read in this order:

1. ``records.py``: one record of the journal. ``topic.py``: the topic in Kafka, one partition; ``topic_identity.py``:
   whether it is still the one that was compared.
2. ``appender.py``: appends the outbox's rows, in a thread of the store verifier's process, within a second.
3. ``comparison.py``: whether the database holds what the journal holds. The store verifier vouches only then.
4. ``losses.py``: what the database lost. ``takeover.py``: the operator's decision, which takes its denials over.
5. ``kept_denials.py``: denials of subjects without a customer row, until a registration applies them.
"""
