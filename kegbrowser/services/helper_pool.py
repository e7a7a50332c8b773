"""The helpers that are running: handed to jobs, kept warm between them, ended with the program. No Qt."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from kegbrowser.worker.handle import HelperHandle, stop_all

log = logging.getLogger(__name__)

MAX_IDLE = 3
"""Idle helpers kept for the next job; each holds some 60 MB and its open connections."""


class HelperPool:
    """Any thread. A helper that is taken belongs to one job until it is given back or discarded.

    Args:
        spawn: starts one helper.
    """

    def __init__(self, spawn: Callable[[], HelperHandle] = HelperHandle) -> None:
        self._spawn = spawn
        self._lock = threading.Lock()
        self._idle: list[HelperHandle] = []
        self._busy: set[HelperHandle] = set()
        self._closed = False

    def prepare(self, kinds: tuple[str, ...] = ()) -> None:
        """Start a spare helper, if none is idle, and have it load what `kinds` of connection need. Blocks for some ms."""
        with self._lock:
            if self._idle or self._closed:
                return
        spare = self._spawn()
        spare.warm_up(kinds)
        self.give_back(spare)

    def take(self, connection_ids: Iterable[str]) -> HelperHandle:
        """A helper for a job on these connections: one that has them open already, else any idle one, else a new one."""
        wanted = set(connection_ids)
        with self._lock:
            dead = [helper for helper in self._idle if not helper.is_alive]
            self._idle = [helper for helper in self._idle if helper not in dead]
            helper = max(self._idle, key=lambda idle: len(idle.served & wanted), default=None)
            if helper is not None:
                self._idle.remove(helper)
                self._busy.add(helper)
        for one in dead:
            one.stop()
        if helper is None:
            helper = self._spawn()
            with self._lock:
                self._busy.add(helper)
        helper.served |= wanted
        return helper

    def give_back(self, helper: HelperHandle) -> None:
        """Return a helper whose job has ended."""
        with self._lock:
            self._busy.discard(helper)
            keep = helper.is_alive and not self._closed and len(self._idle) < MAX_IDLE
            if keep:
                self._idle.append(helper)
        if not keep:
            self.discard(helper)

    def discard(self, helper: HelperHandle) -> None:
        """End a helper that is not to be used again; blocks until it is gone, a few seconds at most."""
        with self._lock:
            self._busy.discard(helper)
        helper.stop()

    def forget_connection(self, connection_id: str) -> None:
        """Have every helper close what it holds open of a connection that was changed or removed."""
        with self._lock:
            helpers = [*self._idle, *self._busy]
        for helper in helpers:
            if connection_id in helper.served:
                helper.forget(connection_id)

    def pids(self) -> tuple[int, ...]:
        """Process ids of all helpers, busy and idle."""
        with self._lock:
            return tuple(helper.pid for helper in (*self._idle, *self._busy))

    def close(self) -> None:
        """End all helpers; busy ones clean up first. Blocks, a few seconds at most."""
        with self._lock:
            self._closed = True
            helpers = [*self._idle, *self._busy]
            self._idle.clear()
        stop_all(helpers)
