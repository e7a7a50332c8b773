"""A page of a listing, taken out of its XML column by column: 3 us a blob, where the SDK takes 200.

Pages whose records are as the service writes them are read by one pattern, others record by record.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.base import ListEntry
from kegbrowser.backends.entries import UNKNOWN, microseconds
from kegbrowser.backends.errors import ServerFault

_ITEM = re.compile(r"<(Blob|BlobPrefix)>(.*?)</\1>", re.DOTALL)
_NAME = re.compile(r"<Name([^>]*)>([^<]*)</Name>")
_NEXT = re.compile(r"<NextMarker>([^<]*)</NextMarker>")
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos));")
_FOLDER_MARK = re.compile(r"<hdi_isfolder>\s*true\s*</hdi_isfolder>", re.IGNORECASE)
_RECORD = re.compile(
    r"<(Blob|BlobPrefix)>\s*<Name( Encoded=\"true\")?>([^<]*)</Name>\s*"
    r"(?:(?:<(?!Properties>|Metadata>|/?Blob)[^<]*)*+<Properties>\s*(?:"
    r"<Last-Modified>([^<]*)</Last-Modified>\s*|<Etag>([^<]*)</Etag>\s*|<Content-Length>([^<]*)</Content-Length>\s*"
    r"|<Content-Type>([^<]*)</Content-Type>\s*|<AccessTier>([^<]*)</AccessTier>\s*|<(?!/Properties>|/?Blob>)[^<]*)*+"
    r"</Properties>\s*)?((?:<(?!/?Blob(?:Prefix)?>)[^<]*)*+)</\1>"
)
_DATE = re.compile(r"\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = dict(zip(_MONTH_NAMES, range(1, 13), strict=True))
_LETTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = re.compile(r"\w{3}, (\d\d) (\w{3}) (\d{4}) ", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d) GMT", re.ASCII)
_CACHED_DAYS = 20_000


@dataclass(slots=True)
class FoundBlob:
    """A blob as it is listed.

    Attributes:
        is_folder_mark: empty, and marked as a folder by its metadata, as Hadoop, azcopy and accounts with real folders do it.
    """

    name: str
    size: int | None
    modified: datetime | None
    etag: str
    content_type: str
    tier: str
    is_folder_mark: bool

    @property
    def is_marker(self) -> bool:
        """Whether it only stands for a folder: this way, or as an empty blob whose name ends in a slash."""
        return self.is_folder_mark or (self.name.endswith("/") and self.size == 0)

    def entry(self, name: str) -> ListEntry:
        return ListEntry(
            name,
            self.modified,
            self.size,
            etag=self.etag,
            content_type=self.content_type,
            storage_class=self.tier,
        )


@dataclass(slots=True)
class FoundPage:
    """One answer of the service: columns of the same length, and prefixes.

    Attributes:
        sizes: int64 bytes; UNKNOWN where it is not told.
        modified_us: int64, microseconds since 1970 UTC; UNKNOWN where it is not told.
        marked: rows of empty blobs that are marked as folders by their metadata.
        next_marker: "" on the last one.
    """

    prefixes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    modified_us: array[int] = field(default_factory=lambda: array("q"))
    etags: Sequence[str] = ()
    content_types: Sequence[str] = ()
    tiers: Sequence[str] = ()
    marked: frozenset[int] = frozenset()
    next_marker: str = ""

    @property
    def may_have_markers(self) -> bool:
        """False: no blob stands for a folder; cheap."""
        return bool(self.marked) or (0 in self.sizes and any(name.endswith("/") for name in self.names))

    @property
    def blobs(self) -> list[FoundBlob]:
        columns = zip(self.names, self.sizes, self.modified_us, self.etags, self.content_types, self.tiers, strict=True)
        return [
            FoundBlob(
                name,
                None if size == UNKNOWN else size,
                None if moment == UNKNOWN else _EPOCH + timedelta(microseconds=moment),
                etag,
                content_type,
                tier,
                row in self.marked,
            )
            for row, (name, size, moment, etag, content_type, tier) in enumerate(columns)
        ]


def parse_page(body: bytes, deed: Deed) -> FoundPage:
    """Take one page of a listing apart ("List Blobs").

    Raises:
        ServerFault: the body is none, or is not whole, or has an entry without a name.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if not text.rstrip().endswith("</EnumerationResults>"):
        raise ServerFault(deed.sentence("the server's answer is no listing"), path=deed.path)
    records = _RECORD.findall(text)
    is_covered = len(records) == text.count("<Blob>") + text.count("<BlobPrefix>")
    page = _of_records(records) if is_covered else _one_by_one(text, deed)
    following = _NEXT.search(text)
    page.next_marker = _unescaped(following.group(1)) if following else ""
    return page


# -- by one pattern --------------------------------------------------------------------------------------------------------

_Record = tuple[str, str, str, str, str, str, str, str, str]


def _of_records(records: list[_Record]) -> FoundPage:
    blobs = [record for record in records if record[0] == "Blob"]
    page = FoundPage()
    if len(blobs) < len(records):
        prefixes = [record for record in records if record[0] != "Blob"]
        page.prefixes = _names([record[1] for record in prefixes], [record[2] for record in prefixes])
    if blobs:
        _kinds, encoded, names, moments, etags, lengths, types, tiers, rests = zip(*blobs, strict=True)
        page.names = _names(encoded, names)
        page.sizes = array("q", [int(length) if length.isdecimal() else UNKNOWN for length in lengths])
        page.modified_us = _moments(moments)
        page.etags = [etag.strip('"') for etag in _all_unescaped(etags)]
        page.content_types = _all_unescaped(types)
        page.tiers = tiers
        page.marked = frozenset(
            row for row, rest in enumerate(rests) if rest and page.sizes[row] == 0 and _FOLDER_MARK.search(rest)
        )
    return page


def _names(encoded: Sequence[str], names: Sequence[str]) -> list[str]:
    found = list(_all_unescaped(names))
    for row, mark in enumerate(encoded) if any(encoded) else ():
        if mark:  # names that XML cannot hold ("List Blobs", versions from 2021-02-12)
            found[row] = unquote(found[row], errors="surrogateescape")
    return found


def _all_unescaped(texts: Sequence[str]) -> Sequence[str]:
    joined = "\0".join(texts)
    if "&" not in joined:
        return texts
    found = _unescaped(joined).split("\0")
    return found if len(found) == len(texts) else [_unescaped(text) for text in texts]


def _moments(texts: Sequence[str]) -> array[int]:
    if len(_days) > _CACHED_DAYS:
        _days.clear()
    try:
        return array("q", [_days[text[:17]] + _times[text[17:]] for text in texts])
    except ValueError:
        return array("q", [microseconds(_moment(text)) for text in texts])


class _Days(dict[str, int]):
    """Microseconds from 1970 to `Wed, 01 Jan 2025 `; they are the same for many."""

    def __missing__(self, text: str) -> int:
        found = _DAY.fullmatch(text)
        if found is None or found[2] not in _MONTHS:
            raise ValueError(text)
        value = self[text] = microseconds(datetime(int(found[3]), _MONTHS[found[2]], int(found[1]), tzinfo=UTC))
        return value


class _Times(dict[str, int]):
    """Microseconds from midnight to `03:04:05 GMT`."""

    def __missing__(self, text: str) -> int:
        found = _TIME.fullmatch(text)
        if found is None:
            raise ValueError(text)
        value = self[text] = ((int(found[1]) * 60 + int(found[2])) * 60 + int(found[3])) * 1_000_000
        return value


_days, _times = _Days(), _Times()


# -- record by record ------------------------------------------------------------------------------------------------------


def _one_by_one(text: str, deed: Deed) -> FoundPage:
    page, blobs = FoundPage(), []
    for kind, item in _ITEM.findall(text):
        name = _name_of(item)
        if name is None:
            raise ServerFault(deed.sentence("the server's listing has an entry without a name"), path=deed.path)
        if kind == "BlobPrefix":
            page.prefixes.append(name)
        else:
            blobs.append(_blob_of(name, item))
    page.names = [blob.name for blob in blobs]
    page.sizes = array("q", [UNKNOWN if blob.size is None else blob.size for blob in blobs])
    page.modified_us = array("q", [microseconds(blob.modified) for blob in blobs])
    page.etags = [blob.etag for blob in blobs]
    page.content_types = [blob.content_type for blob in blobs]
    page.tiers = [blob.tier for blob in blobs]
    page.marked = frozenset(row for row, blob in enumerate(blobs) if blob.is_folder_mark)
    return page


def _blob_of(name: str, item: str) -> FoundBlob:
    size = _field(item, "Content-Length")
    return FoundBlob(
        name=name,
        size=int(size) if size.isdecimal() else None,
        modified=_moment(_field(item, "Last-Modified")),
        etag=_unescaped(_field(item, "Etag")).strip('"'),
        content_type=_unescaped(_field(item, "Content-Type")),
        tier=_field(item, "AccessTier"),
        is_folder_mark=size == "0" and "hdi_isfolder" in item.lower() and bool(_FOLDER_MARK.search(item)),
    )


def _name_of(item: str) -> str | None:
    found = _NAME.search(item)
    if found is None:
        return None
    name = _unescaped(found.group(2))
    # Names that XML cannot hold come percent-encoded ("List Blobs", versions from 2021-02-12).
    return unquote(name, errors="surrogateescape") if 'Encoded="true"' in found.group(1) else name


def _field(item: str, tag: str) -> str:
    start = item.find(f"<{tag}>")
    if start < 0:
        return ""
    start += len(tag) + 2
    return item[start : item.find("<", start)]


def _unescaped(text: str) -> str:
    return _ENTITY.sub(_letter, text) if "&" in text else text


def _letter(found: re.Match[str]) -> str:
    decimal, hexadecimal, name = found.groups()
    if name:
        return _LETTERS[name]
    number = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(number) if number <= 0x10FFFF else found.group()


def _moment(text: str) -> datetime | None:
    found = _DATE.fullmatch(text)
    try:
        if found is not None and found.group(2) in _MONTHS:
            day, month, year, hour, minute, second = found.groups()
            return datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
        return parsedate_to_datetime(text).astimezone(UTC) if text else None
    except ValueError:
        return None
