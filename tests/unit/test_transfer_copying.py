"""Copies and moves, in one storage and between two."""

from __future__ import annotations

from pathlib import Path

import pytest

from kegbrowser.backends.base import Capabilities, RemoteFile
from kegbrowser.backends.errors import ConnectionLost, NotSupported, PermissionDenied, SourceChanged
from kegbrowser.backends.local import LocalStorage
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.transfer.jobs import ConflictPolicy, Copy, Source
from tests.doubles.engine import Engine, files_of, pattern, put, tree_of

OLD, NEW = b"old", b"new and longer"
FILES = {f"s{n % 3}/f{n}": pattern(n * 41, n) for n in range(30)} | {"nothing": b"", "large": pattern(50_000)}


def _filled(storage: MemoryStorage, folder: str = "d/") -> MemoryStorage:
    for name, content in FILES.items():
        put(storage, f"{folder}{name}", content)
    return storage


class _StreamsOnly(MemoryStorage):
    capabilities = Capabilities(path_or_prefix=True)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        raise NotSupported("no copy here", path=source)


@pytest.mark.parametrize("kind", [MemoryStorage, _StreamsOnly])
@pytest.mark.parametrize("move", [False, True])
def test_folder_is_copied_within_a_storage(kind: type[MemoryStorage], move: bool) -> None:
    storage = _filled(kind())
    storage.make_folder("d/empty/")

    with Engine() as engine:
        spec = engine.adopt(storage)
        report = engine.whole(Copy(spec, (Source("d/", is_folder=True),), spec, "to/", move=move))
        copied, left = files_of(storage, "to/d/"), "d" in [entry.name for entry in storage.list("")]

    assert copied == FILES | {"empty/": b""}
    assert left is not move
    assert (report.files_done, report.bytes_done) == (len(FILES), sum(map(len, FILES.values())))


@pytest.mark.parametrize("move", [False, True])
def test_folder_is_copied_between_storages_with_no_file_on_disk(tmp_path: Path, move: bool) -> None:
    source, target = _filled(MemoryStorage()), LocalStorage(str(tmp_path))

    with Engine() as engine:
        specs = engine.adopt(source), engine.adopt(target, "local", root=str(tmp_path))
        report = engine.whole(Copy(specs[0], (Source("d/", is_folder=True),), specs[1], "", move=move))
        left = [entry.name for entry in source.list("")]

    assert {name: content for name, content in tree_of(tmp_path).items() if content is not None} == {
        f"d/{name}": content for name, content in FILES.items()
    }
    assert left == ([] if move else ["d"])
    assert report.checked.size_only == report.files_done


def test_folder_is_moved_in_one_step_where_that_can_be_done(tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "f").write_bytes(NEW)
    (tmp_path / "to").mkdir()
    inode = (tmp_path / "d" / "sub" / "f").stat().st_ino

    with Engine() as engine:
        spec = engine.adopt(LocalStorage(str(tmp_path)), "local", root=str(tmp_path))
        engine.whole(Copy(spec, (Source("d/", is_folder=True),), spec, "to/", move=True))

    assert tree_of(tmp_path) == {"to/": None, "to/d/": None, "to/d/sub/": None, "to/d/sub/f": NEW}
    assert (tmp_path / "to" / "d" / "sub" / "f").stat().st_ino == inode


def test_moved_folder_is_merged_into_one_that_is_there(tmp_path: Path) -> None:
    for name in ("d/sub/f", "d/g", "to/d/sub/other", "to/d/g"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())

    with Engine() as engine:
        spec = engine.adopt(LocalStorage(str(tmp_path)), "local", root=str(tmp_path))
        policy = ConflictPolicy.SKIP
        engine.whole(Copy(spec, (Source("d/", is_folder=True),), spec, "to/", move=True, policy=policy))

    files = {name: content for name, content in tree_of(tmp_path).items() if content is not None}
    assert files == {"to/d/sub/f": b"d/sub/f", "to/d/sub/other": b"to/d/sub/other", "to/d/g": b"to/d/g", "d/g": b"d/g"}
    assert not (tmp_path / "d" / "sub").exists()


def test_folder_is_not_copied_into_itself() -> None:
    storage = _filled(MemoryStorage())

    with Engine() as engine:
        spec = engine.adopt(storage)
        for target in ("d/", "d/s1/"):
            with pytest.raises(NotSupported, match="“d” cannot be copied into itself"):
                engine.run(Copy(spec, (Source("d/", is_folder=True),), spec, target))
        assert files_of(storage, "d/") == FILES


def test_folder_is_not_copied_into_itself_by_way_of_another_connection() -> None:
    storage = MemoryStorage(store="shared")
    put(storage, "d/f")

    with Engine() as engine:
        specs = [engine.adopt(MemoryStorage(store="shared"), store="shared") for _ in range(2)]
        with pytest.raises(NotSupported, match="into itself"):
            engine.run(Copy(specs[0], (Source("d/", is_folder=True),), specs[1], "d/e/"))
        assert files_of(storage) == {"d/f": b"x"}


def test_copy_beside_itself_gets_another_name() -> None:
    storage = MemoryStorage()
    put(storage, "d/f.txt", NEW)
    put(storage, "g.txt", OLD)

    with Engine() as engine:
        spec = engine.adopt(storage)
        sources = Source("d/", is_folder=True), Source("g.txt", is_folder=False)
        engine.whole(Copy(spec, sources, spec, "", policy=ConflictPolicy.OVERWRITE))
        assert files_of(storage) == {"d/f.txt": NEW, "d (2)/f.txt": NEW, "g.txt": OLD, "g (2).txt": OLD}


def test_move_to_where_it_is_changes_nothing() -> None:
    storage = _filled(MemoryStorage())
    put(storage, "g.txt", OLD)

    with Engine() as engine:
        spec = engine.adopt(storage)
        sources = Source("d/", is_folder=True), Source("g.txt", is_folder=False)
        engine.whole(Copy(spec, sources, spec, "", move=True, policy=ConflictPolicy.OVERWRITE))
        assert files_of(storage) == {f"d/{name}": content for name, content in FILES.items()} | {"g.txt": OLD}


@pytest.mark.parametrize("kind", [MemoryStorage, _StreamsOnly])
@pytest.mark.parametrize(
    ("policy", "expected", "left"),
    [
        (ConflictPolicy.OVERWRITE, {"f": NEW}, False),
        (ConflictPolicy.SKIP, {"f": OLD}, True),
        (ConflictPolicy.RENAME, {"f": OLD, "f (2)": NEW}, False),
    ],
)
def test_clash_of_a_move_is_settled_by_policy(
    kind: type[MemoryStorage], policy: ConflictPolicy, expected: dict[str, bytes], left: bool
) -> None:
    storage = kind()
    put(storage, "f", NEW)
    put(storage, "to/f", OLD)

    with Engine() as engine:
        spec = engine.adopt(storage)
        engine.whole(Copy(spec, (Source("f", is_folder=False),), spec, "to/", move=True, policy=policy))
        assert files_of(storage, "to/") == expected
        assert ("f" in files_of(storage)) is left


def test_source_that_cannot_be_read_is_not_removed() -> None:
    class Storage(MemoryStorage):
        def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
            if path == "d/b":
                raise PermissionDenied("no", path=path)
            return super().open_reader(path, offset=offset, length=length, etag=etag)

    source, target = Storage(), MemoryStorage()
    for name in "abc":
        put(source, f"d/{name}", name.encode())

    with Engine() as engine:
        specs = engine.adopt(source, store="source"), engine.adopt(target, store="target")
        report = engine.report(Copy(specs[0], (Source("d/", is_folder=True),), specs[1], "", move=True))
        assert [entry.name for entry in source.list("d/")] == ["b"]
        assert files_of(target) == {"d/a": b"a", "d/c": b"c"}

    assert (report.files_done, report.files_failed) == (2, 1)


def test_source_that_changed_after_it_was_copied_is_not_removed() -> None:
    class Target(MemoryStorage):
        def open_writer(self, path: str, **options: object) -> RemoteFile:
            put(source, "f", b"newer than what was read")
            return super().open_writer(path)

    source, target = MemoryStorage(), Target()
    put(source, "f", NEW)

    with Engine() as engine:
        specs = engine.adopt(source, store="source"), engine.adopt(target, store="target")
        report = engine.report(Copy(specs[0], (Source("f", is_folder=False),), specs[1], "", move=True))
        assert files_of(source) == {"f": b"newer than what was read"}

    assert isinstance(report.failures[0].error, SourceChanged)


def test_lost_connection_starts_the_file_anew() -> None:
    class Reader(RemoteFile):
        def __init__(self, inner: RemoteFile) -> None:
            super().__init__(inner.mode)
            self.inner = inner

        def read(self, size: int) -> bytes:
            piece = self.inner.read(size)
            if source.cuts and not piece:
                source.cuts -= 1
                raise ConnectionLost("cut")
            return piece

        def close(self) -> None:
            self.inner.close()

    class Storage(MemoryStorage):
        cuts = 3

        def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
            return Reader(super().open_reader(path, offset=offset, length=length, etag=etag))

    source, target = Storage(), MemoryStorage()
    put(source, "f", pattern(5_000))

    with Engine() as engine:
        specs = engine.adopt(source, store="source"), engine.adopt(target, store="target")
        engine.whole(Copy(specs[0], (Source("f", is_folder=False),), specs[1], ""))
        assert files_of(target) == {"f": pattern(5_000)}


def test_hostile_names_of_another_server_stay_in_the_target_folder(tmp_path: Path) -> None:
    source = MemoryStorage()
    names = ["../x", "a//b", "/abs", "..", "x", "x/y", "a/../../z"]
    for name in names:
        put(source, f"d/{name}", name.encode())
    (tmp_path / "in").mkdir()

    with Engine() as engine:
        target = engine.adopt(LocalStorage(str(tmp_path)), "local", root=str(tmp_path))
        engine.whole(Copy(engine.adopt(source), (Source("d/", is_folder=True),), target, "in/here/"))

    arrived = [content for content in tree_of(tmp_path / "in" / "here").values() if content is not None]
    assert sorted(arrived) == sorted(name.encode() for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["here"]
