"""Vouching: a statement with a short expiry that a Redis run holds the database's permissions.

To vouch is to keep a key in a store node, renewed twice a second, that names the node's run; readers deny without it.
``node_verifier.py`` decides when a run is vouched for, and publishes before what it lacks; ``store_verifier.py`` runs a
verifier for each node. The process is the store verifier: ``manage.py verify_store``.
"""
