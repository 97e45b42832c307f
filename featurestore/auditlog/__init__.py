"""Django app of the audit log: what was decided and done, in order, so that nobody can change it unnoticed.

``log_verifier.py`` (hashes, signed notes, verification: a program of its own), ``canonical_json.py``, ``proofs.py``,
``entries.py`` (what an entry says), ``models.py``, ``services/`` (appending, sequencing, tree heads, erasure),
``signing_keys.py``, ``stored_tree.py`` (hashes from the database), ``selectors.py``, ``export.py``, ``locations.py``,
``metrics.py``, ``errors.py``.
"""
