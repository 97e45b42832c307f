"""Catalog: the shipped definitions, of a retail customer over five sources. Pure. A team may replace it by its own.

A file per source holds its events' data, the source and its views; ``services`` groups views for conversations;
``purposes`` has the purposes; ``simulation`` has the demo's shop. After a change: ``manage.py features check``.
No other package imports it by name: ``featurestore.installed_catalog`` finds the one that RAPPORT_CATALOG names.
"""

from featurestore.catalog import behavior, chat, orders, profile, services, support
from featurestore.catalog.purposes import PURPOSES
from featurestore.definitions import Registry

__all__ = ["PURPOSES", "registry"]

registry = Registry.of(orders, behavior, support, chat, profile, services)
