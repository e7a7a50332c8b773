"""The memory of one job, kept in a dict: what the engine's tests resume from."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.records import ItemEnd, ItemRecord, ItemState, SourceMark


class MemoryJournal:
    """A `JobJournal`. Any thread.

    Attributes:
        items: by number.
        is_resumed: set by `reopen`, as for the next run of the job.
    """

    def __init__(self) -> None:
        self.is_resumed = False
        self.items: dict[int, ItemRecord] = {}
        self._numbers: dict[str, int] = {}
        self._parts: dict[int, dict[int, Part]] = {}
        self._lock = threading.RLock()
        self._log: list[tuple[str, tuple[object, ...]]] = []

    def after_crash(self, lost: int) -> MemoryJournal:
        """What the next run finds if the last `lost` notes had not reached the disk; a `begin` always has."""
        with self._lock:
            log = list(self._log)
        durable = max((index + 1 for index, (name, _given) in enumerate(log) if name == "begin"), default=0)
        found = MemoryJournal()
        for name, given in log[: max(durable, len(log) - lost)]:
            if name == "plan":
                source, place, mark, overwrite = given
                found.plan(source, place, mark, overwrite=overwrite)  # type: ignore[arg-type]  # as they were given
            else:
                getattr(found, name)(*given)
        return found.reopen()

    def reopen(self) -> MemoryJournal:
        """The same journal for the next run."""
        self.is_resumed = True
        return self

    def find(self, source: str) -> ItemRecord | None:
        with self._lock:
            number = self._numbers.get(source)
            return None if number is None else self.items[number]

    def plan(self, source: str, place: str, mark: SourceMark, *, overwrite: bool) -> int:
        with self._lock:
            self._log.append(("plan", (source, place, mark, overwrite)))
            number = self._numbers.setdefault(source, len(self._numbers))
            known = self.items.get(number)
            token = known.token if known is not None else ""
            self.items[number] = ItemRecord(number, source, place, mark, overwrite, ItemState.PLANNED, token)
            return number

    def begin(self, item: int, token: str, place: str) -> None:
        with self._lock:
            self._log.append(("begin", (item, token, place)))
            self.items[item] = replace(self.items[item], token=token, place=place, state=ItemState.MOVING)
            self._parts[item] = {}

    def add_part(self, item: int, part: Part) -> None:
        with self._lock:
            self._log.append(("add_part", (item, part)))
            self._parts.setdefault(item, {})[part.number] = part

    def parts(self, item: int) -> Mapping[int, Part]:
        with self._lock:
            return dict(self._parts.get(item, {}))

    def end(self, item: int, end: ItemEnd) -> None:
        with self._lock:
            self._log.append(("end", (item, end)))
            known = self.items[item]
            self.items[item] = replace(
                known, state=end.state, place=end.place or known.place, proof=end.proof, error=end.error, token=""
            )
            self._parts.pop(item, None)

    def flush(self) -> None:
        return None

    def of(self, source: str) -> ItemRecord:
        """The record of a source that must be known."""
        record = self.find(source)
        assert record is not None, source
        return record
