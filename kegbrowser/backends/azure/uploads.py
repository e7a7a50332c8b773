"""Uploads of blobs in blocks that outlive the process: what was sent waits at the service, uncommitted, for a week."""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, BlobServiceClient, ContentSettings

from kegbrowser.backends.azure.blocks import MIB, BlockIds, BlockPlan
from kegbrowser.backends.azure.calls import Guard, blob_url, put_block
from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.azure.translate import code_of
from kegbrowser.backends.errors import CheckFailed, FileNotFoundInStorageError
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.uploads import Part, PartedUpload, UploadSpec

log = logging.getLogger(__name__)

LEAST_BLOCK_BYTES = 8 * MIB
SENT_BYTES = 256 * 1024


class AzureUpload(PartedUpload):
    """See `PartedUpload`. The service compares the MD5 of every block before it takes it ("Put Block", Content-MD5).

    No call removes blocks that were never committed, and committing them would show them: what is discarded stays invisible,
    and the service drops it after a week.

    Args:
        start: what the ids of all blocks begin with.
        held: the uncommitted blocks of the blob, id to length; None: none of this upload.
    """

    max_parallel = 8

    def __init__(
        self,
        service: BlobServiceClient,
        deed: Deed,
        spec: UploadSpec,
        guard: Guard,
        content_type: str,
        ids: BlockIds,
        part_bytes: int,
        parts: Mapping[int, Part],
        held: Mapping[str, int],
    ) -> None:
        self.token = f"{ids.start}:{part_bytes}"
        self.part_bytes = part_bytes
        self._service = service
        self._deed = deed
        self._spec = spec
        self._guard = guard
        self._content_type = content_type
        self._ids = ids
        self._url = blob_url(service, deed.container, deed.blob)
        self._lock = threading.Lock()
        self._count = -(-spec.size_bytes // part_bytes)
        self.parts = {
            number: part
            for number, part in parts.items()
            if 0 <= number < self._count and held.get(ids.id_of(number)) == part.size == self._size_of(number)
        }
        self._sent = set(self.parts)
        self._proof: Proof | None = None

    def send(self, number: int, content: bytes, on_sent: Callable[[int], None]) -> Part:
        view = memoryview(content).cast("B")
        if view:
            md5 = hashlib.md5(view, usedforsecurity=False).digest()
            block_id = base64.b64encode(self._ids.id_of(number).encode()).decode()
            with self._guard(self._deed):
                put_block(self._service, self._url, block_id, md5, len(view), _Pieces(view, on_sent))
        with self._lock:
            self._sent.add(number)
        return Part(number, len(view), zlib.crc32(view))

    def commit(self) -> Proof:
        if self._proof is not None:
            return self._proof
        missing = [number for number in range(self._count) if number not in self._sent]
        if missing:
            raise CheckFailed(self._deed.sentence(f"{len(missing)} of its parts are missing"), path=self._spec.path)
        blocks = [BlobBlock(self._ids.id_of(number)) for number in range(self._count)]
        settings = ContentSettings(content_type=self._content_type) if self._content_type else None
        condition: dict[str, Any] = {} if self._spec.overwrite else {"match_condition": MatchConditions.IfMissing}
        with self._guard(self._deed):
            _client(self._service, self._deed).commit_block_list(blocks, content_settings=settings, **condition)
        self._proof = Proof.verified("MD5")
        return self._proof

    def discard(self) -> None:
        log.debug("The blocks of %s stay invisible and expire", self._spec.path)

    def leave(self) -> None:
        """They stay by themselves."""

    def _size_of(self, number: int) -> int:
        return min(self.part_bytes, self._spec.size_bytes - number * self.part_bytes)


def begin_upload(
    service: BlobServiceClient, deed: Deed, spec: UploadSpec, guard: Guard, content_type: str
) -> AzureUpload:
    """A new upload: its ids are like none that are there, and as long as those that are."""
    with guard(deed):
        taken = uncommitted_sizes(service, deed)
    try:
        ids = BlockIds.fitting(base64.b64encode(name.encode()).decode() for name in taken)
    except ValueError:
        ids = BlockIds()
    part_bytes = BlockPlan.for_size(spec.size_bytes, LEAST_BLOCK_BYTES).first_bytes
    return AzureUpload(service, deed, spec, guard, content_type, ids, part_bytes, {}, {})


def resume_upload(
    service: BlobServiceClient,
    deed: Deed,
    spec: UploadSpec,
    guard: Guard,
    content_type: str,
    token: str,
    parts: Mapping[int, Part],
) -> AzureUpload:
    """The upload of a token, with those of the parts whose blocks the service has.

    Raises:
        FileNotFoundInStorageError: the token is none of ours.
    """
    start, _colon, part_bytes = token.partition(":")
    if not start or not part_bytes.isdigit() or not int(part_bytes):
        raise FileNotFoundInStorageError(deed.sentence("its upload is not known"), path=spec.path)
    with guard(deed):
        held = uncommitted_sizes(service, deed)
    ids = BlockIds.with_start(start)
    return AzureUpload(service, deed, spec, guard, content_type, ids, int(part_bytes), parts, held)


def uncommitted_sizes(service: BlobServiceClient, deed: Deed) -> dict[str, int]:
    """The blocks of a blob that were sent but not committed: id, before its Base64, and length."""
    try:
        _committed, uncommitted = _client(service, deed).get_block_list("uncommitted")
    except ResourceNotFoundError as exc:
        if code_of(exc) == "ContainerNotFound":
            raise
        return {}
    return {str(block.id): int(block.size) for block in uncommitted}


class _Pieces:
    """A body that tells of each piece right before it goes out. It is read once."""

    def __init__(self, view: memoryview, on_sent: Callable[[int], None]) -> None:
        self._left = view
        self._size = len(view)
        self._on_sent = on_sent

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(SENT_BYTES):
            yield piece

    def read(self, _size: int = -1) -> bytes:
        """The next piece, larger than it was asked for: fewer, larger ones are quicker."""
        piece = self._left[:SENT_BYTES]
        if piece:
            self._on_sent(len(piece))
        self._left = self._left[SENT_BYTES:]
        return bytes(piece)


def _client(service: BlobServiceClient, deed: Deed) -> BlobClient:
    return service.get_blob_client(deed.container, deed.blob)
