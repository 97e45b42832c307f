"""Chaos tests: every process and server of an installation is killed under load; served values must stay exact.

    make chaos                                       the long run; writes bench/results/chaos.json
    python -m tests.chaos --minutes 5 --seed 7       a shorter run

``environment`` starts servers and processes, ``supervisor`` restarts them. ``event_traffic`` sends events to Kafka and
keeps the acknowledged ones in ``written_events``; ``consent_traffic`` sends decisions to the API. ``faults`` disturb
the environment, in the order of ``schedule``. ``leak_monitor`` reads all the time, for values that a withdrawal
forbids; ``probes`` measure when values are fresh again after a fault. In the end ``comparison`` compares the served
values with DuckDB, and ``dead_letters`` the dead letters with the ``poison_records`` that were sent. ``run`` is one run
of all of it, ``report`` its figures.
"""
