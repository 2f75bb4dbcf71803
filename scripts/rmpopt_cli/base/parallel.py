# SPDX-License-Identifier: GPL-2.0-or-later
"""Threads whose work stops when the program is interrupted."""
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

stopping = threading.Event()  # set when the main thread gives up; long-running work in other threads polls it
_programs: set[subprocess.Popen[Any]] = set()  # those that other threads wait for
_guard = threading.Lock()


def stop() -> None:
    """The program ends: so do the programs that it has started."""
    with _guard:
        stopping.set()
        for program in _programs:
            program.terminate()


@contextmanager
def ending_with_us(program: subprocess.Popen[Any]) -> Iterator[None]:
    with _guard:
        _programs.add(program)
        if stopping.is_set():
            program.terminate()
    try:
        yield
    finally:
        with _guard:
            _programs.discard(program)


@contextmanager
def threads(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """A thread pool. Signals reach only the main thread; an exception that leaves the block stops the work in the
    pool."""
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool
    except BaseException:
        stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Results of calls that run side by side. The first that fails ends the others."""
    with threads(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        return [future.result() for future in futures]
