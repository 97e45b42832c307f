"""Coroutines as tests, on asyncio."""

import pytest

from tests.kit.clock import clock

__all__ = ["anyio_backend", "clock"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
