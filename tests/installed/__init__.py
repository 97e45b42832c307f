"""The installed package and teams' own catalogs, outside of a checkout."""
