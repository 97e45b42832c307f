"""End of a worker process on an error. Continuing would let later acknowledgements commit past what was not done
(trap 6 of docs/decisions/faust-traps.md).
"""

import logging
import os
from typing import Any, NoReturn

import structlog

EXIT_CODE = 70  # EX_SOFTWARE: the supervisor (Compose, honcho) starts the worker again

log = structlog.get_logger(__name__)


def end_process(reason: str, error: BaseException, **where: Any) -> NoReturn:
    """Log ``error`` and end the process at once, without the orderly shutdown that would commit offsets."""
    log.critical(reason, exc_info=error, **where)
    logging.shutdown()
    os._exit(EXIT_CODE)
