"""What the contract itself promises, whatever the storage."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegbrowser.backends.base import (
    EntryKind,
    FileMode,
    ListEntry,
    Page,
    RemoteFile,
    StorageBackend,
    as_folder,
    split_path,
)
from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    NotSupported,
    PermissionDenied,
    StorageError,
)


class _Dripping(RemoteFile):
    """Reads as sockets do: sometimes less than asked for. Remembers how it ended."""

    def __init__(self, content: bytes, bites: list[int]) -> None:
        super().__init__(FileMode.read)
        self._content = io.BytesIO(content)
        self._bites = iter(bites)
        self.ended: list[str] = []

    def read(self, size: int) -> bytes:
        return self._content.read(min(size, next(self._bites, size)))

    def close(self) -> None:
        self.closed = True
        self.ended.append("closed")

    def abort(self) -> None:
        self.closed = True
        self.ended.append("aborted")


class _Bare(StorageBackend):
    """Has only what has no default."""

    def __init__(self, contents: dict[str, bytes] | None = None) -> None:
        super().__init__("bare")
        self.contents = contents or {}
        self.deleted: list[str] = []

    def open(self, path: str, mode: FileMode | str) -> RemoteFile:
        if path not in self.contents:
            raise FileNotFoundInStorageError(f"Could not open “{path}”.", path=path)
        return _Dripping(self.contents[path], [1, 2, 3])

    def delete(self, path: str) -> None:
        if path == "denied":
            raise PermissionDenied("You may not delete “denied”.", path=path)
        if path not in self.contents:
            raise FileNotFoundInStorageError(f"Could not delete “{path}”.", path=path)
        self.deleted.append(path)

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        yield Page((ListEntry("a", None, 1), ListEntry("b", None, 2)))
        yield Page((ListEntry("c", None, 3),))

    def stat(self, path: str) -> ListEntry:
        raise NotImplementedError

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        raise NotImplementedError

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        raise NotImplementedError

    def delete_folder(self, path: str) -> None:
        raise NotImplementedError

    def make_folder(self, path: str) -> None:
        raise NotImplementedError

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        raise NotImplementedError

    def interrupt(self) -> None:
        raise NotImplementedError

    def shutdown(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("rb", FileMode.read),
        ("r", FileMode.read),
        ("wb", FileMode.write),
        ("w", FileMode.write),
        ("rwb", FileMode.read | FileMode.write),
        ("wrb", FileMode.read | FileMode.write),
    ],
)
def test_modes_are_understood(text: str, mode: FileMode) -> None:
    assert FileMode.as_mode(text) == mode
    assert FileMode.as_mode(mode) is mode


@pytest.mark.parametrize("mode", [FileMode.read, FileMode.write, FileMode.read | FileMode.write])
def test_a_mode_is_understood_by_its_own_text(mode: FileMode) -> None:
    assert FileMode.as_mode(str(mode)) == mode


@given(text=st.text(alphabet="rwbax+ ", max_size=5))
def test_other_modes_are_refused(text: str) -> None:
    if text in ("r", "w", "rb", "wb", "rw", "wr", "rwb", "wrb"):
        return
    with pytest.raises(ValueError):
        FileMode.as_mode(text)


@pytest.mark.parametrize("other", [None, 1, b"rb"])
def test_a_mode_is_text_or_a_mode(other: object) -> None:
    with pytest.raises(TypeError):
        FileMode.as_mode(other)  # type: ignore[arg-type]


@given(content=st.binary(max_size=200), bites=st.lists(st.integers(1, 9)), chunk_size=st.integers(1, 50))
def test_chunks_are_full_whatever_a_read_gives(content: bytes, bites: list[int], chunk_size: int) -> None:
    chunks = list(_Dripping(content, bites).iter_chunks(chunk_size))

    assert b"".join(chunks) == content
    assert all(len(chunk) == chunk_size for chunk in chunks[:-1])
    assert all(chunks)


@pytest.mark.parametrize("chunk_size", [0, -1])
def test_chunks_have_at_least_one_byte(chunk_size: int) -> None:
    with pytest.raises(ValueError):
        next(_Dripping(b"x", []).iter_chunks(chunk_size))


def test_leaving_with_closes() -> None:
    with _Dripping(b"", []) as file:
        pass

    assert file.ended == ["closed"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_leaving_with_by_any_exception_aborts(error: type[BaseException]) -> None:
    file = _Dripping(b"", [])

    with pytest.raises(error), file:
        raise error

    assert file.ended == ["aborted"]


def test_a_file_refuses_what_it_was_not_opened_for() -> None:
    class Neither(RemoteFile):
        def close(self) -> None:
            self.closed = True

    file = Neither(FileMode.read)

    with pytest.raises(io.UnsupportedOperation):
        file.read(1)
    with pytest.raises(io.UnsupportedOperation):
        file.write(b"x")
    file.abort()
    assert file.closed


def test_a_listing_in_memory_is_all_its_pages() -> None:
    assert [entry.name for entry in _Bare().list("")] == ["a", "b", "c"]


def test_a_check_stops_at_the_first_page() -> None:
    class Endless(_Bare):
        def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
            yield Page(())
            raise AssertionError("the second page was asked for")

    assert Endless().check() == "Connected to bare."


def test_deleting_many_tells_each_ones_fate() -> None:
    storage = _Bare({"a": b"", "b": b""})

    results = {result.path: result.error for result in storage.delete_files(["a", "missing", "denied", "b"])}

    assert storage.deleted == ["a", "b"]
    assert list(results) == ["a", "missing", "denied", "b"]
    assert results["missing"] is None
    assert isinstance(results["denied"], PermissionDenied)


def test_a_storage_that_cannot_copy_says_so() -> None:
    with pytest.raises(NotSupported, match="bare"):
        _Bare().copy("a", "b")


def test_a_download_appears_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")

    _Bare({"a": b"the new content"}).get("a", str(target))

    assert target.read_bytes() == b"the new content"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_broken_download_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    class Breaking(_Dripping):
        def read(self, size: int) -> bytes:
            raise StorageError("The file cannot be read.")

    class Storage(_Bare):
        def open(self, path: str, mode: FileMode | str) -> RemoteFile:
            return Breaking(b"", [])

    target = tmp_path / "target"
    target.write_bytes(b"old")

    with pytest.raises(StorageError):
        Storage().get("a", str(target))

    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_download_may_have_the_longest_name(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)

    _Bare({"a": b"content"}).get("a", str(target))

    assert target.read_bytes() == b"content"


@pytest.mark.parametrize(
    ("path", "folder", "name"),
    [
        ("", "", ""),
        ("x", "", "x"),
        ("x/", "", "x"),
        ("a/b", "a/", "b"),
        ("a/b/", "a/", "b"),
        ("a//", "a/", ""),
        ("a//b", "a//", "b"),
        ("/", "", ""),
        ("/x", "/", "x"),
        ("//", "/", ""),
    ],
)
def test_a_path_is_a_folder_and_a_name(path: str, folder: str, name: str) -> None:
    assert split_path(path) == (folder, name)


@given(st.text(alphabet="a/", max_size=12))
def test_folder_and_name_make_up_the_path(path: str) -> None:
    folder, name = split_path(path)

    assert folder + name == path.removesuffix("/")
    assert "/" not in name
    assert as_folder(folder) == folder
    assert as_folder(path).endswith("/") == bool(path)
    assert as_folder(as_folder(path)) == as_folder(path)


@pytest.mark.parametrize(
    ("kind", "path"), [("file", "a/n"), ("link", "a/n"), ("folder", "a/n/"), ("container", "a/n/")]
)
def test_an_entry_knows_its_path(kind: str, path: str) -> None:
    entry = ListEntry("n", None, 0, EntryKind(kind))

    assert entry.path_in("a") == entry.path_in("a/") == path
    assert pickle.loads(pickle.dumps(entry)) == entry


def test_an_entry_at_the_root_has_no_slash_before_it() -> None:
    assert ListEntry("n", None, 0).path_in("") == "n"


def test_a_taken_name_is_a_file_exists_error() -> None:
    assert issubclass(AlreadyExists, FileExistsError)
