"""Django app of purposes, notices, consent records, and the permissions derived from them.

Read in this order:

1. ``models.py``: the tables. ``change_sequence.py``: the one locked row that numbers every change.
2. ``permission_derivation.py``: the pure functions from decisions to consent states, and from states to a permission.
3. ``services/``: the only writers. Each writes its changes in one transaction (``change_writer.py``).
4. ``outbox/``: brings each change to the store and, where values must be purged, to the streams.
5. ``vouching/``: states, with a key that expires, that a Redis run holds the database's permissions.
6. ``journal/``: a copy of each change outside the database, so that a database that lost commits is noticed.

``selectors.py`` reads, ``admin/`` shows. The tables of customers are in featurestore.customers, below.
"""
