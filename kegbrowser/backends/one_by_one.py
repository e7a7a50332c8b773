"""`read_files` and `write_files` for storages that have nothing quicker: a file a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import ConnectionLost, InvalidName, SourceChanged, StorageError, Throttled
from kegbrowser.backends.proofs import Proof

if TYPE_CHECKING:
    from kegbrowser.backends.base import StorageBackend

R = TypeVar("R", ReadRequest, WriteRequest)

MAX_THREADS = 8
LOOK_AGAIN_S = 0.01
PIECE_BYTES = 1024 * 1024
_REASON = "only lengths were compared"


def read_one_by_one(
    storage: StorageBackend, requests: Iterator[ReadRequest | None], in_flight: Callable[[], int]
) -> Iterator[FileResult]:
    """See `StorageBackend.read_files`."""
    return on_threads(lambda request: _read(storage, request), requests, in_flight)


def write_one_by_one(
    storage: StorageBackend, requests: Iterator[WriteRequest | None], in_flight: Callable[[], int]
) -> Iterator[FileResult]:
    """See `StorageBackend.write_files`."""
    return on_threads(lambda request: _write(storage, request), requests, in_flight)


def on_threads(
    carry_out: Callable[[R], FileResult], requests: Iterator[R | None], in_flight: Callable[[], int]
) -> Iterator[FileResult]:
    """Carry requests out on threads, as `StorageBackend.read_files` promises it. `carry_out` answers errors, it raises none."""
    running: set[Future[FileResult]] = set()
    has_more = True
    idle = threading.Event()
    with ThreadPoolExecutor(MAX_THREADS, "small-file") as pool:
        while has_more or running:
            while has_more and len(running) < max(1, min(in_flight(), MAX_THREADS)):
                try:
                    request = next(requests)
                except StopIteration:
                    has_more = False
                    break
                if request is None:
                    break
                running.add(pool.submit(carry_out, request))
            if not running:
                idle.wait(LOOK_AGAIN_S)
                continue
            done, running = wait(running, LOOK_AGAIN_S, FIRST_COMPLETED)
            for future in done:
                yield future.result()


def _read(storage: StorageBackend, request: ReadRequest) -> FileResult:
    """Read a file; once more if a kept connection turns out to be gone."""
    result = _read_once(storage, request)
    if isinstance(result.error, ConnectionLost) and not isinstance(result.error, Throttled):
        result = _read_once(storage, request)
    return result


def _read_once(storage: StorageBackend, request: ReadRequest) -> FileResult:
    try:
        with storage.open_reader(request.path, etag=request.etag) as reader:
            pieces: list[bytes] = []
            room = request.size + 8 * PIECE_BYTES
            while piece := reader.read(PIECE_BYTES):
                pieces.append(piece)
                room -= len(piece)
                if room < 0:
                    raise SourceChanged(f"“{request.path}” grew while it was read.", path=request.path)
    except StorageError as error:
        return FileResult(request.key, error)
    except UnicodeEncodeError:
        return FileResult(request.key, not_text(request.path))
    return FileResult(request.key, None, b"".join(pieces), Proof.size_only(_REASON))


def _write(storage: StorageBackend, request: WriteRequest) -> FileResult:
    try:
        with storage.open_writer(
            request.path,
            size_bytes=len(request.content),
            overwrite=request.overwrite,
            modified=request.modified,
            content_type=request.content_type,
        ) as writer:
            writer.write(request.content)
    except StorageError as error:
        return FileResult(request.key, error)
    except UnicodeEncodeError:
        return FileResult(request.key, not_text(request.path))
    return FileResult(request.key, proof=Proof.size_only(_REASON))


def not_text(path: str) -> InvalidName:
    """The error for a name that has no bytes."""
    shown = path.rpartition("/")[2].encode("utf-8", "backslashreplace").decode()
    return InvalidName(f"The storage cannot hold the name “{shown}”: it is not valid text.", path=path)
