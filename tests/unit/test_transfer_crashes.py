"""Whatever fails, whenever the program is killed: a target is the old file or the whole new one; the journal says which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kegbrowser.backends.errors import Cancelled, StorageError
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.backends.memory import uploads as memory_uploads
from kegbrowser.backends.memory.store import drop_store, store_named
from kegbrowser.transfer.jobs import ConflictPolicy, Copy, Download, Source, TransferJob, Upload
from kegbrowser.transfer.records import ItemState
from tests.doubles.engine import Engine, files_of, pattern, put
from tests.doubles.flaky import Fault, FlakyBackend
from tests.doubles.memory_journal import MemoryJournal

NAMES = ("a", "b.txt", "sub/c", "sub/deep/d", "large", "sub/larger")
D = Source("d/", is_folder=True)
WAYS = ("up", "down", "between")

contents = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from([0, 1, 999, 2_500, 19_999, 20_001, 34_567, 60_000]), min_size=1
)
scripts = st.lists(
    st.sampled_from([Fault.NONE, Fault.NONE, Fault.NONE, Fault.LOST, Fault.ANSWER_LOST, Fault.BROKEN]), max_size=60
)
lives = st.lists(st.tuples(st.integers(1, 70), st.integers(0, 6), scripts), min_size=1, max_size=4)
"""Of each run before the last: after how many calls it is killed, how many notes are lost with it, what fails until then."""


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    before = memory_uploads.PART_BYTES
    memory_uploads.PART_BYTES = 7_000
    yield
    memory_uploads.PART_BYTES = before


class _Mortal(FlakyBackend):
    """Ends its job at one of its calls, as a kill does: nothing is cleaned up any more."""

    def __init__(self, inner: MemoryStorage, engine: Engine, calls: int | None, script: list[Fault]) -> None:
        super().__init__(inner, script)
        self._engine = engine
        self._left = calls

    def before(self) -> Fault:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self._engine.token.cancel(keep=True)
        return super().before()


class _World:
    """A source and a target, and jobs between them."""

    def __init__(self, folder: Path, way: str, new: dict[str, bytes], old: dict[str, bytes]) -> None:
        self.way = way
        self.folder = folder
        self.journal = MemoryJournal()
        self.stores = [f"crash-{id(self)}-{side}" for side in ("from", "to")]
        for name, content in new.items():
            self._put("from", f"d/{name}", content)
        for name, content in old.items():
            self._put("to", f"d/{name}", content)

    def run(self, calls: int | None, script: list[Fault]) -> None:
        with Engine(journal=self.journal) as engine, suppress(StorageError, Cancelled):
            engine.run(self._job(engine, calls, script))

    def targets(self) -> dict[str, bytes]:
        """All at the target, with what is unfinished or left over."""
        if self.way != "down":
            found = files_of(MemoryStorage(store=self.stores[1]))
            return {name.removeprefix("d/"): content for name, content in found.items() if not name.endswith("/")}
        below = self.folder / "to" / "d"
        return {path.relative_to(below).as_posix(): path.read_bytes() for path in below.rglob("*") if path.is_file()}

    def left_over(self) -> list[str]:
        if self.way == "down":
            return [str(path) for path in self.folder.rglob("*.kegpart")]
        return list(store_named(self.stores[1]).uploads)

    def close(self) -> None:
        for store in self.stores:
            drop_store(store)

    def _job(self, engine: Engine, calls: int | None, script: list[Fault]) -> TransferJob:
        near, far = (MemoryStorage(store=store) for store in self.stores)
        policy = ConflictPolicy.OVERWRITE
        if self.way == "up":
            spec = engine.adopt(_Mortal(far, engine, calls, script))
            return Upload(spec, (str(self.folder / "from" / "d"),), "", policy)
        if self.way == "down":
            return Download(engine.adopt(_Mortal(near, engine, calls, script)), (D,), str(self.folder / "to"), policy)
        source, target = engine.adopt(near), engine.adopt(_Mortal(far, engine, calls, script))
        return Copy(source, (D,), target, "", policy=policy)

    def _put(self, side: str, path: str, content: bytes) -> None:
        is_local = (side == "from") == (self.way == "up") and self.way != "between"
        if is_local:
            place = self.folder / side / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        else:
            put(MemoryStorage(store=self.stores[side == "to"]), path, content)


@settings(max_examples=150, deadline=None)
@given(sizes=contents, old=st.sets(st.sampled_from(NAMES), max_size=3), way=st.sampled_from(WAYS), killed=lives)
def test_targets_are_old_or_whole_new_and_the_journal_says_which(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: dict[str, int],
    old: set[str],
    way: str,
    killed: list[tuple[int, int, list[Fault]]],
) -> None:
    new = {name: pattern(size, size) for name, size in sizes.items()}
    before = dict.fromkeys(old, b"the old content")
    world = _World(tmp_path_factory.mktemp("crash"), way, new, before)
    try:
        for calls, lost, script in killed:
            world.run(calls, script)
            _check(world, new, before)
            world.journal = world.journal.after_crash(lost)
        world.run(None, [])
        _check(world, new, before)

        assert world.targets() == before | new
        assert {record.state for record in world.journal.items.values()} == {ItemState.DONE}
        assert world.left_over() == []
    finally:
        world.close()


def _check(world: _World, new: dict[str, bytes], old: dict[str, bytes]) -> None:
    targets = world.targets()
    for name, content in targets.items():
        if not name.endswith(".kegpart"):
            assert content in (new.get(name), old.get(name)), f"{name} is neither the old file nor the new one"
    for name in old:
        assert name in targets, f"{name} is gone"
    for record in world.journal.items.values():
        if record.state is ItemState.DONE:
            name = record.source.rpartition("/d/")[2] if world.way == "up" else record.source.removeprefix("d/")
            assert targets[name] == new[name], f"the journal says that {name} is there"
