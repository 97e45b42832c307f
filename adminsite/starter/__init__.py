"""Starter of a team's own catalog, which ``features init DIR`` writes from the templates in ``files``."""
