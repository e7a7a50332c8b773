"""Small blobs, each read or written by one request, with its MD5 compared."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable

from kegbrowser.backends.azure.blocks import MIB
from kegbrowser.backends.azure.reader import PIECE_BYTES, AzureReader
from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import CheckFailed, ConnectionLost, SourceChanged, StorageError, Throttled
from kegbrowser.backends.one_by_one import not_text
from kegbrowser.backends.proofs import Proof

ROOM_BYTES = 8 * MIB
ONE_REQUEST_BYTES = 8 * MIB
"""A writer of a known length sends as much in one request (`BlockPlan.for_size`), and the service compares its MD5."""

_PROOF = Proof.verified("MD5")
_NO_MD5 = Proof.size_only("the service keeps no MD5 of it")
_IN_BLOCKS = Proof.size_only("it was written in blocks")


def read_file(open_whole: Callable[[str, str], AzureReader], request: ReadRequest) -> FileResult:
    """Read a whole blob; once more if a kept connection turns out to be gone.

    Args:
        open_whole: takes the path and the mark.
    """
    result = _read_once(open_whole, request)
    if isinstance(result.error, ConnectionLost) and not isinstance(result.error, Throttled):
        result = _read_once(open_whole, request)
    return result


def write_file(storage: StorageBackend, request: WriteRequest) -> FileResult:
    """Write a whole blob."""
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
    return FileResult(request.key, proof=_PROOF if len(request.content) <= ONE_REQUEST_BYTES else _IN_BLOCKS)


def _read_once(open_whole: Callable[[str, str], AzureReader], request: ReadRequest) -> FileResult:
    try:
        with open_whole(request.path, request.etag) as reader:
            content = _content(reader, request)
            told = reader.md5
    except StorageError as error:
        return FileResult(request.key, error)
    except UnicodeEncodeError:
        return FileResult(request.key, not_text(request.path))
    if not told:
        return FileResult(request.key, None, content, _NO_MD5)
    if b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode() != told:
        name = request.path.rpartition("/")[2]
        return FileResult(
            request.key, CheckFailed(f"What came of “{name}” does not have the MD5 of the file.", path=request.path)
        )
    return FileResult(request.key, None, content, _PROOF)


def _content(reader: AzureReader, request: ReadRequest) -> bytes:
    pieces: list[bytes] = []
    room = request.size + ROOM_BYTES
    while piece := reader.read(PIECE_BYTES):
        pieces.append(piece)
        room -= len(piece)
        if room < 0:
            raise SourceChanged(f"“{request.path}” grew while it was read.", path=request.path)
    return b"".join(pieces)
