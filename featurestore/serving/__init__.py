"""The feature read: consent decides before values leave, then windows are finished at the time of the read.

Files in reading order: ``answer`` (the types of an answer), ``guard`` (the rule of consent), ``reader`` (the read),
``as_of`` (reads as of an earlier time), ``trial`` (a view tried out without a store).
"""
