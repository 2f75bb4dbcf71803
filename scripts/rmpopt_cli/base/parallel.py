# SPDX-License-Identifier: GPL-2.0-or-later
"""Work in several threads that ends with the program."""
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

stopping = threading.Event()  # set when the main thread gives up; long work in other threads looks at it


@contextmanager
def threads(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """A pool. Signals reach only the main thread: when one ends the block, what runs in the pool is told to stop."""
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool
    except BaseException:
        stopping.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
