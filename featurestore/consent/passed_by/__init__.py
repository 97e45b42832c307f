"""Passed-by subjects, as the store verifier's process treats them: their grants start later before it vouches again.

The streams write each subject of which they skip an event or a purge, because the store has no permission of it, to a
topic (``featurestore.passed_by``). ``topic.py`` reads it and removes entries; ``restarts.py`` gives the grants of such
subjects a later start before a store that was filled anew is vouched for, and publishes what is left in a store that
was not.
"""
