from tests.consent.worlds import clock, database, sent, shop, store

__all__ = ["clock", "database", "sent", "shop", "store"]
