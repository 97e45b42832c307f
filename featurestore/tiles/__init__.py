"""Windowed state of a subject: from events to packed tiles, and from stored fields to the values of features. Pure.

The files, in reading order:

1. ``resolutions``: the length of a tile, by the age of its events.
2. ``deduplication``: the window of events that counted lately.
3. ``fold``: events into a state record.
4. ``state_record``: the streams' state of one subject and source.
5. ``layout_id``: which stored bytes of a view belong together.
6. ``state_cells``: an aggregation's states as cells.
7. ``cuts``: which tiles are merged early, so that a view stays within its bytes.
8. ``cell_codecs``, ``packed_table``: a column of cells, and a table of columns, as bytes.
9. ``view_codec``: a view's tiles as bytes, and their suffix aggregates.
10. ``stored_field``: the store's field of a view and purpose, with its fencing header.
11. ``view_reader``: the features' values, from a stored field.
"""
