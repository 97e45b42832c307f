"""Base classes of the administration: ``base.py`` (pages), ``permitted.py`` (rows that a user may see),
``filters.py``, ``paging.py``. No Django app of its own."""
