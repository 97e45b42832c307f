from tests.consent.worlds import clock, database, postgres_template, sent, shop, sqlite_template, store

__all__ = ["clock", "database", "postgres_template", "sent", "shop", "sqlite_template", "store"]
