"""Encryption of personal columns: a key for each subject, which an erasure deletes.

``fields.py``: the type of such a column. ``envelope.py``: encryption of one text. ``subject_keys.py``: the keys of
subjects, wrapped. ``wrapping_keys.py``: the keys that wrap them. ``key_store/``: where they are kept, outside of the
database and its backups. ``rotation.py``: another wrapping key.
"""
