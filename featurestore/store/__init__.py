"""The online store: one Redis hash a subject; on each node (one primary server) its vouch key, claim and watermarks.

Files in reading order: ``protocol`` (the contract of every backend), ``memory`` (the same in plain Python),
``redis`` with ``scripts/`` (one node), ``server`` and ``connection`` (round trips by a deadline), ``slots`` and
``cluster`` (several nodes), ``change_notifications`` (pub/sub on subjects), ``configured`` (the installation's store).
"""
