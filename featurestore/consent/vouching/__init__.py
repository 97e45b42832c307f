"""Vouching: a statement with a short expiry that a Redis run holds the database's permissions.

To vouch is to keep a key in a store node, renewed twice a second, that names the node's run; readers deny without it.
``node_verifier.py`` decides when a run is vouched for, and publishes before what it lacks (``node_changes.py``);
``store_verifier.py`` runs a verifier for each node. The process is the store verifier: ``manage.py verify_store``. Of
several, one has the right to vouch (``lease.py``).

A database that lost commits is found by what the store holds (``store_history.py``), in every step and around every
publication (``publication_check.py``), and by the journal (``journal_comparison.py``). Then denial is latched
(``latch.py``).
"""
