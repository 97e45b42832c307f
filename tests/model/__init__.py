"""A checked model: random histories of decisions, events and faults, in which the real code is held to an oracle.

    make test ARGS="tests/model"                                        the short run
    MODEL_EXAMPLES=5000 make test ARGS="tests/model/test_model.py"      thousands of long histories, for hours

A state machine of Hypothesis (``machine``, with its ordinary rules in ``steps``) drives one installation in memory
(``installation``, ``operations``): consent services, outbox relay, journal, verifiers, audit, dead letters' replay,
stream workers and readers are the real ones; database (SQLite), store (``nodes``), journal and Kafka (``broker``) live
in this process, and time is injected. An operation can pause before and after each call to store, journal or broker
while others run, and continue, or never (``interleaving``, ``worker``).

Faults are rules of the machine: FLUSHALL, DEL of a subject, a restarted or promoted store whose old master is still
reached, a database that loses its last commits, processes that die, pause or are cut off, workers that were replaced
and do not know it.

After each rule the answers of every node are compared with an oracle (``oracle``), which states the invariants I1 to I6
and knows only what customers decided, what was acknowledged, and which events were recorded.

A history that breaks an invariant is printed as a program, shortened by Hypothesis. Keep it in ``test_found.py``.
"""
