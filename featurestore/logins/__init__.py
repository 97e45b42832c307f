"""Django app of staff's logins: passwords, second factors, limits, and the record of all of them.

``password_hasher.py`` and ``password_process.py`` (one password check at a time, in a process of low priority),
``adapters.py`` (how django-allauth is used here), ``second_factor.py``, ``secret_box.py``, ``models.py``,
``services.py`` (the only writers), ``admin.py``. Recent authentication is asked for in ``featurestore.backoffice``.
"""
