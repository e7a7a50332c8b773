"""The journal says the same as a dict and a list do, whatever is said in whatever order, over windows and runs."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kegbrowser.backends.errors import PermissionDenied
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.events import Progress
from kegbrowser.transfer.journal import JobRecord, JobState, Journal
from kegbrowser.transfer.records import ItemEnd, ItemState, SourceMark
from tests.doubles.memory_journal import MemoryJournal

MARK = SourceMark(5, 1_600_000_000_000_000, "tag")


@settings(max_examples=30, stateful_step_count=30, deadline=None)
class _SameAsMemory(RuleBasedStateMachine):
    """The journal on disk says the same as a dict does, also when it is closed and opened in between."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._store = Journal(Path(self._folder.name) / "j.sqlite")
        self._job = self._store.add("upload", {})
        self._real = self._store.open_job(self._job)
        self._model = MemoryJournal()

    @rule(name=st.sampled_from("abcdef"), overwrite=st.booleans())
    def plan(self, name: str, overwrite: bool) -> None:  # hypothesis names it
        expected = self._model.plan(name, f"to {name}", MARK, overwrite=overwrite)
        assert self._real.plan(name, f"to {name}", MARK, overwrite=overwrite) == expected

    @precondition(lambda self: self._model.items)
    @rule(data=st.data(), token=st.sampled_from(["one", "two"]))
    def begin(self, data: st.DataObject, token: str) -> None:
        item = data.draw(st.sampled_from(sorted(self._model.items)))
        if self._model.items[item].state in (ItemState.PLANNED, ItemState.MOVING):
            for one in (self._model, self._real):
                one.begin(item, token, "there")

    @precondition(lambda self: self._model.items)
    @rule(data=st.data(), number=st.integers(0, 3), crc=st.integers(0, 2**32 - 1))
    def add_part(self, data: st.DataObject, number: int, crc: int) -> None:
        item = data.draw(st.sampled_from(sorted(self._model.items)))
        for one in (self._model, self._real):
            one.add_part(item, Part(number, 5, crc, "t"))

    @precondition(lambda self: self._model.items)
    @rule(data=st.data(), state=st.sampled_from([state for state in ItemState if state is not ItemState.MOVING]))
    def end(self, data: st.DataObject, state: ItemState) -> None:
        item = data.draw(st.sampled_from(sorted(self._model.items)))
        end = ItemEnd(
            state,
            place="elsewhere" if state is ItemState.DONE else "",
            proof=Proof.verified("MD5") if state is ItemState.DONE else None,
        )
        for one in (self._model, self._real):
            one.end(item, end)

    @rule(name=st.sampled_from("abcdef"))
    def find(self, name: str) -> None:
        assert self._real.find(name) == self._model.find(name)

    @precondition(lambda self: self._model.items)
    @rule(data=st.data())
    def parts(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(sorted(self._model.items)))
        assert self._real.parts(item) == self._model.parts(item)

    @rule()
    def reopen(self) -> None:
        self._real.close()
        self._real = self._store.open_job(self._job)
        assert self._real.is_resumed == bool(self._model.items)

    @rule()
    def retry_failed(self) -> None:
        self._real.close()
        failed = [item for item, record in self._model.items.items() if record.state is ItemState.FAILED]
        assert self._store.reset_failed(self._job) == len(failed)
        for item in failed:
            self._model.items[item] = replace(self._model.items[item], state=ItemState.PLANNED)
        self._real = self._store.open_job(self._job)

    @rule(first=st.integers(0, 4), count=st.integers(0, 4), states=st.none() | st.sets(st.sampled_from(ItemState)))
    def compare(self, first: int, count: int, states: set[ItemState] | None) -> None:
        self._real.flush()
        expected = [record for _item, record in sorted(self._model.items.items())]
        chosen = [record for record in expected if states is None or record.state in states]
        assert self._store.items(self._job, first, count, states) == chosen[first : first + count]
        assert list(self._store.all_items(self._job)) == expected
        assert list(self._store.unfinished(self._job)) == [record for record in expected if record.token]
        held = Counter(record.state for record in expected)
        assert self._store.item_counts(self._job) == {state: held[state] for state in ItemState}

    def teardown(self) -> None:
        self.compare(0, 9, None)
        self._real.close()
        self._store.close()
        self._folder.cleanup()


TestSameAsMemory = _SameAsMemory.TestCase


@settings(max_examples=25, stateful_step_count=30, deadline=None)
class _SameQueue(RuleBasedStateMachine):
    """The queue says the same as a list does, in two windows of which each may be closed and opened at any time."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._windows = [self._open() for _window in range(2)]
        self._owners = [window.new_owner() for window in self._windows]
        self._model: list[JobRecord] = []
        self._given: set[int] = set()

    def _open(self) -> Journal:
        return Journal(Path(self._folder.name) / "j.sqlite")

    def _draw(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from([job.job_id for job in self._model]))

    def _replace(self, job_id: int, **changes: object) -> None:
        self._model = [
            replace(job, **changes) if job.job_id == job_id else job  # type: ignore[arg-type]  # as the rules give them
            for job in self._model
        ]

    @rule(window=st.integers(0, 1), name=st.text(max_size=5))
    def add(self, window: int, name: str) -> None:
        job_id = self._windows[window].add("upload", {"name": name})
        assert job_id not in self._given
        self._given.add(job_id)
        added = self._windows[window].job(job_id)
        assert added is not None
        self._model.append(JobRecord(job_id, "upload", {"name": name}, JobState.WAITING, added.added_utc))

    @precondition(lambda self: self._model)
    @rule(window=st.integers(0, 1), data=st.data(), to_end=st.booleans())
    def move(self, window: int, data: st.DataObject, to_end: bool) -> None:
        job_id, before = self._draw(data), None if to_end else self._draw(data)
        self._windows[window].move(job_id, before)
        if job_id != before:
            (moved,) = [job for job in self._model if job.job_id == job_id]
            self._model.remove(moved)
            ids = [job.job_id for job in self._model]
            self._model.insert(len(ids) if before is None else ids.index(before), moved)

    @precondition(lambda self: self._model)
    @rule(window=st.integers(0, 1), data=st.data(), state=st.sampled_from(JobState), fails=st.booleans())
    def change(self, window: int, data: st.DataObject, state: JobState, fails: bool) -> None:
        job_id = self._draw(data)
        error = PermissionDenied("no") if fails and state is JobState.FAILED else None
        self._windows[window].change(job_id, state, progress=Progress(7, 9), error=error)
        self._replace(job_id, state=state, progress=Progress(7, 9))
        known = self._windows[1 - window].job(job_id)
        assert known is not None
        assert (known.ended_utc is not None) == state.is_ended
        if error is not None:
            assert str(known.error) == "no"

    @precondition(lambda self: self._model)
    @rule(window=st.integers(0, 1), data=st.data())
    def remove(self, window: int, data: st.DataObject) -> None:
        job_id = self._draw(data)
        self._windows[window].remove(job_id)
        self._model = [job for job in self._model if job.job_id != job_id]
        assert self._windows[1 - window].job(job_id) is None
        assert not self._windows[window].claim(job_id, self._owners[window].name)

    @precondition(lambda self: self._model)
    @rule(window=st.integers(0, 1), data=st.data())
    def claim(self, window: int, data: st.DataObject) -> None:
        job_id = self._draw(data)
        (job,) = [job for job in self._model if job.job_id == job_id]
        is_free = job.owner != self._owners[1 - window].name
        assert self._windows[window].claim(job_id, self._owners[window].name) == is_free
        if is_free:
            self._replace(job_id, owner=self._owners[window].name)

    @precondition(lambda self: self._model)
    @rule(window=st.integers(0, 1), data=st.data())
    def unclaim(self, window: int, data: st.DataObject) -> None:
        job_id = self._draw(data)
        self._windows[window].unclaim(job_id, self._owners[window].name)
        (job,) = [job for job in self._model if job.job_id == job_id]
        if job.owner == self._owners[window].name:
            self._replace(job_id, owner="")

    @rule(window=st.integers(0, 1), is_killed=st.booleans())
    def reopen(self, window: int, is_killed: bool) -> None:
        self._windows[window].close()
        self._windows[window] = self._open()
        if is_killed:
            self._owners[window].release()
            self._owners[window] = self._windows[window].new_owner()

    @invariant()
    def says_the_same(self) -> None:
        for window in self._windows:
            told = [
                (job.job_id, job.recipe, job.state, job.owner, job.progress, job.added_utc) for job in window.jobs()
            ]
            assert told == [
                (job.job_id, job.recipe, job.state, job.owner, job.progress, job.added_utc) for job in self._model
            ]

    def teardown(self) -> None:
        for window, owner in zip(self._windows, self._owners, strict=True):
            window.close()
            owner.release()
        self._folder.cleanup()


TestSameQueue = _SameQueue.TestCase
