"""Django app of retention: what is kept for how long, and what becomes of it then.

``evictions.py`` (values of idle subjects leave the store; the tables of the streams keep them), with the command
``evict_idle``; ``rules.py`` (retention rules, and what goes by itself), ``runs.py`` (their application),
``inactivity.py`` (customers without activity); ``models.py``, ``selectors.py``, ``metrics.py``, ``tasks.py``,
``admin/``.
"""
