"""Windowed state of a subject: from events to packed tiles, and from stored fields to the values of features. Pure.

The files, in reading order:

1. ``resolutions``: the length of a tile, by the age of its events.
2. ``deduplication``: the events that counted lately.
3. ``fold``: events into a record.
4. ``record``: the streams' state of one subject and source.
5. ``state_cells``: an aggregation's states as cells.
6. ``cell_codecs``, ``packed_table``: a column of cells, and a table of columns, as bytes.
7. ``view_codec``: a view's tiles as bytes, and their suffix aggregates.
8. ``stored_field``: the store's field of a view and purpose, with its fencing header.
9. ``view_reader``: the features' values, from a stored field.
"""
