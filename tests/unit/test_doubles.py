"""The storages that stand around others in tests do what they are there for, and nothing else."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pytestqt.qtbot import QtBot

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import Cancelled
from kegbrowser.backends.memory import MemoryStorage
from tests.doubles.gui_thread_guard import CalledOnGuiThread, GuiThreadGuard
from tests.doubles.passing import PassingBackend
from tests.doubles.throttled import ThrottledBackend


def _use_everything(storage: StorageBackend) -> list[str]:
    storage.make_folder("folder")
    storage.check()
    storage.home()
    with storage.open("folder/file", "wb") as file:
        file.write(b"con")
        file.write(b"tent")
    with storage.open_writer("other") as file:
        file.write(b"x")
    with storage.open_reader("folder/file", offset=3) as file:
        assert file.read(-1) == b"tent"
    storage.copy("other", "copy")
    storage.rename("other", "renamed")
    storage.delete("renamed")
    storage.delete_folder("folder/")
    assert storage.stat("copy").size == 1
    return sorted(entry.path_in("") for entry in storage.list("", recursive=True))


def test_a_passing_storage_passes_everything_on() -> None:
    assert _use_everything(PassingBackend(MemoryStorage())) == _use_everything(MemoryStorage())
    assert _use_everything(PassingBackend(MemoryStorage())) == ["copy", "folder/file"]


def test_an_aborted_file_is_aborted_inside() -> None:
    inner = MemoryStorage()

    file = PassingBackend(inner).open("file", "wb")
    file.write(b"x")
    file.abort()
    file.close()

    assert inner.list("") == []


def test_a_throttled_storage_takes_its_time() -> None:
    storage = ThrottledBackend(MemoryStorage(), delay_s=0.02, rate_bytes_per_s=100_000)
    begun = time.monotonic()

    with storage.open("file", "wb") as file:
        file.write(bytes(10_000))

    assert 0.14 <= time.monotonic() - begun < 2


@pytest.mark.parametrize("is_stalled", [False, True])
def test_an_interrupt_ends_the_wait_of_a_throttled_storage(is_stalled: bool) -> None:
    storage = ThrottledBackend(MemoryStorage(), delay_s=0.0 if is_stalled else 60.0)
    if is_stalled:
        storage.stalled.set()
    timer = threading.Timer(0.1, storage.interrupt)
    timer.start()
    begun = time.monotonic()

    with pytest.raises(Cancelled):
        storage.list("")

    timer.join()
    assert time.monotonic() - begun < 1


def test_a_guarded_storage_refuses_the_thread_of_the_window(qtbot: QtBot) -> None:
    storage = GuiThreadGuard(MemoryStorage())

    with pytest.raises(CalledOnGuiThread, match="list_pages"):
        storage.list("")

    assert storage.calls == []


def test_a_guarded_storage_serves_other_threads(qtbot: QtBot) -> None:
    storage = GuiThreadGuard(MemoryStorage())

    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(_use_everything, storage).result(10)

    assert found == ["copy", "folder/file"]
    assert {"open", "write", "close", "read", "list_pages", "stat"} <= set(storage.calls)
