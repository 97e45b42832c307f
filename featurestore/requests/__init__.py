"""Django app of subject requests: what customers ask for under a data protection law, from the intake to the answer.

``deadlines.py`` and ``states.py`` are pure: when a request is due, and which action leads to which state.
``models.py``; ``due_dates.py`` applies a regime's rules to a row. ``services/`` are the only writers: ``timeline.py``
(the one way to change a request), ``intake.py``, ``duplicates.py``, ``verification.py``,
``handling.py``, ``answers.py``.
"""
