"""Django app of customers as data: ``models.py`` and ``selectors.py``, without services.

It is below consent, which refers to customers; registration is above consent, in featurestore.profiles.
``subject_admin.py`` is the base class of the admin pages whose rows hold a subject.
"""
