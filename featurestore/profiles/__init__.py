"""Django app that registers customers: ``services.py``. ``admin/`` has their page, with purposes and consent records.

The tables are in featurestore.customers. Everything outside the two apps refers to a customer by its subject.
"""
