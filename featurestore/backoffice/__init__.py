"""Base classes of the administration: ``base.py`` (pages), ``filters.py``, ``paging.py``. No Django app of its own."""
