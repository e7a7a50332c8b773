"""What shows that a file arrived as it was sent: checksums, and the four honest states a transferred file can end in."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Certainty(enum.Enum):
    """How sure it is that the target's content is the source's. The fourth state, a difference, is `CheckFailed`."""

    VERIFIED = "verified"
    SIZE_ONLY = "size only"
    UNVERIFIABLE = "not verifiable here"


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared.

    Attributes:
        by: VERIFIED: the checksum's name as people write it, as "CRC-32", "MD5", "SHA-256", several joined by ", ".
        reason: else: why no checksum was compared, a clause without a full stop, as "the server keeps no checksum of it".
    """

    certainty: Certainty
    by: str = ""
    reason: str = ""

    @classmethod
    def verified(cls, by: str) -> Proof:
        return cls(Certainty.VERIFIED, by=by)

    @classmethod
    def size_only(cls, reason: str) -> Proof:
        return cls(Certainty.SIZE_ONLY, reason=reason)


ALGORITHMS = {
    "crc32": "CRC-32",
    "crc32c": "CRC-32C",
    "crc64nvme": "CRC-64/NVME",
    "md5": "MD5",
    "sha1": "SHA-1",
    "sha256": "SHA-256",
}
"""Names in `Digests.values`, and how people write them."""


@dataclass(frozen=True, slots=True)
class Digests:
    """The checksums of a whole file's content that a storage knows.

    Attributes:
        values: algorithm (a key of `ALGORITHMS`) to lower-case hex digits; never of parts put together another way
            (ETag of a multipart upload, composite checksums), never of other bytes than a download gives (KMS ETags).
        reason: why there are none, a clause without a full stop; "" if there are.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    reason: str = "the server keeps no checksum of it"
