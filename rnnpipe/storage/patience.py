"""Waiting for what may never answer, and only so long."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class Patience:
    """Makes calls that may never return in a thread of their own, and waits a stated time for each.

    A socket's own limit is on the time between two bytes: headers that come a byte at a time are
    never through, and never late. A call that was given up goes on until the other side ends it,
    or the process ends.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def wait_for(self, call: Callable[[], T], seconds: float) -> T:
        """Return what ``call`` gives, or raise what it raises.

        Raises:
            TimeoutError: it did not end in so many seconds; nothing more may be asked of this object.
        """
        self._calls.put(call)
        try:
            answer, error = self._answers.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                self._answers.put((call(), None))
            except Exception as error:  # for who waits
                self._answers.put((None, error))

    def end(self) -> None:
        """Have the thread end, as soon as its call does."""
        self._calls.put(None)


@contextmanager
def patience() -> Iterator[Patience]:
    """Yield a :class:`Patience` whose thread ends with the block."""
    patient = Patience()
    try:
        yield patient
    finally:
        patient.end()


class Pace:
    """Tells whether bytes come fast enough: so many in each window of time."""

    def __init__(self, window_seconds: float, least_bytes: float, size: int) -> None:
        self._window_seconds = window_seconds
        self._least_bytes = least_bytes
        self._since, self._size = time.monotonic(), size

    def is_too_slow(self, size: int) -> bool:
        """Whether a window ended with less than it should have brought; ``size`` is all there is."""
        now = time.monotonic()
        if now - self._since < self._window_seconds:
            return False
        brought = size - self._size
        self._since, self._size = now, size
        return brought < self._least_bytes
