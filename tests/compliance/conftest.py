"""Compliance reports in a database of the test's own."""

from tests.kit.clock import clock
from tests.kit.databases import database
from tests.kit.shop import sent, shop
from tests.kit.stores import store

__all__ = ["clock", "database", "sent", "shop", "store"]
