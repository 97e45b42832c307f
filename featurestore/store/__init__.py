"""The online store: one Redis hash a subject, and for each node the statements that make its permissions credible.

Files in reading order: ``protocol`` (what every backend promises), ``memory`` (the contract in plain Python),
``redis`` with ``scripts/`` (one node), ``server`` and ``connection`` (round trips by a deadline), ``slots`` and
``cluster`` (several nodes), ``change_notifications`` (pub/sub on subjects), ``configured`` (the installation's store).
"""
