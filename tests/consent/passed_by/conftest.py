from tests.kit.passed_by import topic

__all__ = ["topic"]
