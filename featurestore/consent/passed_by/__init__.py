"""Passed-by subjects, as the store verifier's process treats them: their grants start later before it vouches again.

The streams write the subject of an event that they skip, because the store had no permission of it, to a topic
(``featurestore.passed_by``). ``topic.py`` reads it and removes entries; ``restarts.py`` gives the grants of such
subjects a later start before a store that was filled anew is vouched for, and publishes what is left in a store that
was not.
"""
