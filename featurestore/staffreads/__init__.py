"""Reads of customers' values by staff: what a chat engine would be answered, with an access record and a log entry.

In reading order: ``models.py`` (emergency access), ``selectors.py``, ``services.py`` (a read, the begin of an emergency
access), ``locations.py``, ``metrics.py``, ``tasks.py``, ``admin/``.
"""
