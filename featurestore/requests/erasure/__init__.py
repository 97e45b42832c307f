"""Django app of erasures: the walk of an erasure over every data location, its proof, and legal holds.

``person.py``: whom it is about, encrypted; ``starting.py``: from a request, or taken over after a restore;
``beginning.py``: the first transaction (suppression, denial, journal); ``walk.py``: what a task does in at most 20 s;
``steps.py``: one location; ``ends.py``: answered and closed; ``certificate.py``: what the customer is told;
``holds.py``: legal holds.
"""
