"""Django app of exports: everything that is held about a customer, as an encrypted package that the customer opens.

``states.py`` is pure. ``collection.py`` walks the data locations into a ``spool.py``, which an officer reviews;
``packing.py`` writes the package from it (``redactions.py``, ``formats.py``, ``summary.py``, ``encrypted_zip.py``);
``services/`` are the only writers; ``views.py`` is the download; ``expiry.py`` deletes files; ``waiting.py`` says what
an export waits for. Nothing plain is ever in a file: spool and package are encrypted before they are written.
"""
