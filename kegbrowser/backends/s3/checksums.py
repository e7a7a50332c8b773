"""Checksums as S3 writes them: of a file, of its parts put together, and which of what a server says are of the whole file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from kegbrowser.backends.proofs import Digests
from kegbrowser.backends.uploads import Part

_MD5 = re.compile("[0-9a-f]{32}")
_IN_ANSWERS = {
    "ChecksumCRC32": "crc32",
    "ChecksumCRC32C": "crc32c",
    "ChecksumCRC64NVME": "crc64nvme",
    "ChecksumSHA1": "sha1",
    "ChecksumSHA256": "sha256",
}


def crc32(data: bytes | bytearray | memoryview) -> str:
    """The CRC-32 of data as S3 writes it."""
    return crc32_text(zlib.crc32(data))


def crc32_text(value: int) -> str:
    """A CRC-32 as S3 writes it: base 64 of its four bytes."""
    return base64.b64encode(value.to_bytes(4, "big")).decode("ascii")


def md5_text(data: bytes | bytearray | memoryview) -> str:
    """What Content-MD5 says of data."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode("ascii")


def whole_crc32(parts: Iterable[Part]) -> int:
    """The CRC-32 of a file, from those of its parts in order."""
    from awscrt import checksums  # takes 60 ms, and is needed for large files only

    value = 0
    for part in parts:
        value = checksums.combine_crc32(value, part.crc32, part.size)
    return value


def composite_crc32(parts: Iterable[Part]) -> str:
    """The checksum of a file's parts' checksums (user guide, "Checking object integrity", composite checksums)."""
    each = [part.crc32.to_bytes(4, "big") for part in parts]
    return f"{crc32(b''.join(each))}-{len(each)}"


def composite_etag(parts: Iterable[Part]) -> str:
    """The mark of a file that was put together of parts, where marks are made of MD5s; "" where they cannot be."""
    tags = [part.tag for part in parts]
    if not tags or not all(_MD5.fullmatch(tag) for tag in tags):
        return ""
    joined = binascii.unhexlify("".join(tags))
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(tags)}"


def says_crc32(answer: Mapping[str, Any], parts: list[Part]) -> bool | None:
    """Whether the CRC-32 in an answer is that of these parts put together; None if there is none in it."""
    said = str(answer.get("ChecksumCRC32") or "")
    if not said:
        return None
    if answer.get("ChecksumType") == "COMPOSITE" or "-" in said:
        return said.partition("-")[0] == composite_crc32(parts).partition("-")[0]
    return said == crc32_text(whole_crc32(parts))


def digests_of(answer: Mapping[str, Any], bucket: str) -> Digests:
    """The checksums of the whole file that an answer to HEAD gives."""
    values: dict[str, str] = {}
    if answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
        for name, algorithm in _IN_ANSWERS.items():
            said = str(answer.get(name) or "")
            if said and "-" not in said:
                values[algorithm] = base64.b64decode(said).hex()
    etag = str(answer.get("ETag", "")).strip('"')
    if is_md5(answer, bucket):
        values["md5"] = etag
    if values:
        return Digests(values, "")
    if "-" in etag:
        return Digests({}, "it was uploaded in parts, and the server keeps no checksum of the whole")
    return Digests()


def is_md5(answer: Mapping[str, Any], bucket: str) -> bool:
    """Whether an answer's mark is the content's MD5 (API reference, "Object", ETag: not of parts, of KMS, of a customer's key,
    nor in a directory bucket)."""
    if not _MD5.fullmatch(str(answer.get("ETag", "")).strip('"')) or bucket.endswith("--x-s3"):
        return False
    return not (answer.get("ServerSideEncryption") or "").startswith("aws:") and not answer.get("SSECustomerAlgorithm")


class Comparison:
    """Compares content that passes by with a checksum that the server said of all of it."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self.algorithm = algorithm
        self._expected = expected
        self._crc = 0
        self._function = _crc_function(algorithm)
        self._hash = hashlib.new(algorithm, usedforsecurity=False) if self._function is None else None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Comparison | None:
        """By the cheapest of an answer's checksums of the whole; None if there is none."""
        if answer.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
            return None
        for name, algorithm in _IN_ANSWERS.items():
            said = str(answer.get(name) or "")
            if said and "-" not in said:
                with suppress(ValueError):
                    return cls(algorithm, base64.b64decode(said, validate=True))
        return None

    def update(self, piece: bytes) -> None:
        if self._function is not None:
            self._crc = self._function(piece, self._crc)
        elif self._hash is not None:
            self._hash.update(piece)

    @property
    def is_equal(self) -> bool:
        if self._hash is not None:
            return self._hash.digest() == self._expected
        return self._crc == int.from_bytes(self._expected, "big")


def _crc_function(algorithm: str) -> Callable[[bytes, int], int] | None:
    if algorithm == "crc32":
        return zlib.crc32
    if not algorithm.startswith("crc"):
        return None
    from awscrt import checksums

    function: Callable[[bytes, int], int] = getattr(checksums, algorithm)
    return function
