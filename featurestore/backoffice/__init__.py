"""Base classes of the administration: pages, filters, paging."""
