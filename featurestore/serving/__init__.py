"""The feature read: consent decides before values leave, then windows are finished at the time of the read."""
