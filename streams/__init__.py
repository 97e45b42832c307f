"""The streams room: Faust workers that fold events into tables and push them to the online store."""
