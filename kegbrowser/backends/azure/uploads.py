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
from azure.storage.blob import BlobBlock, BlobServiceClient, ContentSettings

from kegbrowser.backends.azure.blocks import MIB, BlockIds, BlockPlan
from kegbrowser.backends.azure.calls import Guard, HeldBlocks, blob_url, held_blocks, put_block
from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.errors import AlreadyExists, CheckFailed, FileNotFoundInStorageError
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.uploads import Part, PartedUpload, UploadSpec

log = logging.getLogger(__name__)

LEAST_BLOCK_BYTES = 8 * MIB
SENT_BYTES = 256 * 1024
_PROOF = Proof.verified("MD5")


class AzureUpload(PartedUpload):
    """See `PartedUpload`. The service compares the MD5 of every block before it takes it ("Put Block", Content-MD5).

    No call removes blocks that were never committed, and committing them would show them: what is discarded stays invisible,
    and the service drops it after a week.

    The ids begin with letters that no other upload has. So a blob that consists of blocks with these ids was committed by this
    upload, also where the answer to that was lost.

    Args:
        blocks: what the service holds of the blob.
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
        blocks: HeldBlocks,
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
        is_done = self._is_committed(blocks)
        held = dict(blocks.committed if is_done else blocks.uncommitted)
        self.parts = {
            number: part
            for number, part in parts.items()
            if 0 <= number < self._count and held.get(self._name_of(number)) == part.size == self._size_of(number)
        }
        self._sent = set(self.parts)
        self._only_md5 = b""
        is_whole = is_done and self._count > 0 and len(self.parts) == self._count
        self._proof: Proof | None = _PROOF if is_whole else None

    def send(self, number: int, content: bytes, on_sent: Callable[[int], None]) -> Part:
        view = memoryview(content).cast("B")
        if len(view) != max(0, self._size_of(number)):
            reason = f"part {number} has {len(view)} bytes instead of {max(0, self._size_of(number))}"
            raise CheckFailed(self._deed.sentence(reason), path=self._spec.path)
        if view:
            md5 = hashlib.md5(view, usedforsecurity=False).digest()
            with self._guard(self._deed):
                put_block(self._service, self._url, self._name_of(number), md5, len(view), _Pieces(view, on_sent))
            if self._count == 1:
                self._only_md5 = md5
        with self._lock:
            self._sent.add(number)
            self._proof = None  # the blob does not have this one yet
        return Part(number, len(view), zlib.crc32(view))

    def commit(self) -> Proof:
        if self._proof is not None:
            return self._proof
        missing = [number for number in range(self._count) if number not in self._sent]
        if missing:
            raise CheckFailed(self._deed.sentence(f"{len(missing)} of its parts are missing"), path=self._spec.path)
        try:
            self._commit()
        except AlreadyExists:
            with self._guard(self._deed):
                blocks = held_blocks(self._service, self._deed)
            if not self._count or not self._is_committed(blocks):
                raise
            # An earlier try succeeded, and its answer was lost: the blob that is in the way is this upload's own.
        self._proof = _PROOF
        return _PROOF

    def discard(self) -> None:
        log.debug("The blocks of %s stay invisible and expire", self._spec.path)

    def leave(self) -> None:
        """They stay by themselves."""

    def _commit(self) -> None:
        blocks = [BlobBlock(self._ids.id_of(number)) for number in range(self._count)]
        settings = ContentSettings(
            content_type=self._content_type or None,
            content_md5=bytearray(self._only_md5) if self._only_md5 else None,
        )
        condition: dict[str, Any] = {} if self._spec.overwrite else {"match_condition": MatchConditions.IfMissing}
        client = self._service.get_blob_client(self._deed.container, self._deed.blob)
        with self._guard(self._deed):
            client.commit_block_list(blocks, content_settings=settings, **condition)

    def _is_committed(self, blocks: HeldBlocks) -> bool:
        """Whether the blob, as it is now, is this upload's."""
        own = tuple((self._name_of(number), self._size_of(number)) for number in range(self._count))
        return blocks.committed == own

    def _name_of(self, number: int) -> str:
        return base64.b64encode(self._ids.id_of(number).encode()).decode()

    def _size_of(self, number: int) -> int:
        return min(self.part_bytes, self._spec.size_bytes - number * self.part_bytes)


def begin_upload(
    service: BlobServiceClient, deed: Deed, spec: UploadSpec, guard: Guard, content_type: str
) -> AzureUpload:
    """A new upload: its ids are like none that are there, and as long as those that are."""
    with guard(deed):
        taken = held_blocks(service, deed).uncommitted
    try:
        ids = BlockIds.fitting(name for name, _size in taken)
    except ValueError:
        ids = BlockIds()
    part_bytes = BlockPlan.for_size(spec.size_bytes, LEAST_BLOCK_BYTES).first_bytes
    return AzureUpload(service, deed, spec, guard, content_type, ids, part_bytes, {}, HeldBlocks())


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
        blocks = held_blocks(service, deed)
    ids = BlockIds.with_start(start)
    return AzureUpload(service, deed, spec, guard, content_type, ids, int(part_bytes), parts, blocks)


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
