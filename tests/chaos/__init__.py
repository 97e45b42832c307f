"""Chaos: every part of an installation is killed under load, and what is served afterwards must be exact.

    make chaos                                       the long run; writes bench/results/chaos.json
    python -m tests.chaos --minutes 5 --seed 7       any other

``world`` has the servers and processes, ``supervisor`` starts again what ends. ``traffic`` tells Kafka what happens
and ``decisions`` the API what customers decide; both keep in ``truth`` what they were told is written. ``faults`` is
what is done to the world, ``schedule`` when. ``watch`` reads without end, for what a withdrawal forbids; ``probes``
measures when the world serves again. ``comparison`` holds what is served in the end against DuckDB, ``dead_letters``
what was put aside against the poison that was sent. ``run`` is one run of all that, ``report`` what it leaves behind.
"""
