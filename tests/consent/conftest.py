from tests.kit.clock import clock
from tests.kit.databases import database
from tests.kit.shop import sent, shop
from tests.kit.stores import store
from tests.kit.verifier import driver

__all__ = ["clock", "database", "driver", "sent", "shop", "store"]
