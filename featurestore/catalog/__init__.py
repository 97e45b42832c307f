"""Catalog: the shipped definitions, of a retail customer over five sources. A user edits these first. Pure.

A file per source holds its events' data, the source and its views; ``services`` groups views for conversations;
``purposes`` has the purposes. After a change: ``manage.py features check``.
"""

from featurestore.catalog import behavior, chat, orders, profile, services, support
from featurestore.definitions import Registry

registry = Registry.of(orders, behavior, support, chat, profile, services)
