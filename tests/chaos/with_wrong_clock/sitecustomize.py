"""Start of a Python process under libfaketime, whose version 0.9.10 breaks ``time.sleep``.

It refuses a sleep until a monotonic time, as Python's is (EINVAL), if that time is not to be changed. A wait for no
file is as good.
"""

import select
import time


def sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = sleep
