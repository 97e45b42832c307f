from tests.kit.journal import comparer, journal

__all__ = ["comparer", "journal"]
