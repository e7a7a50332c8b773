"""A page of a listing, taken out of its XML column by column: 1 us a key, where the SDK's own parser takes 20.

Pages whose records are as servers write them are read by one pattern, all others (comments, attributes, unknown elements) by
an XML parser; what neither understands is left to the SDK.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree

from kegbrowser.backends.entries import (
    CODE_OF,
    UNKNOWN,
    Columns,
    EntryKind,
    ListEntry,
    Page,
    microseconds,
    names_joined,
)
from kegbrowser.backends.s3.sdk import parse_time
from kegbrowser.backends.s3.wire import Unclear

_PARAMETERS = {
    "ContinuationToken": "continuation-token",
    "Delimiter": "delimiter",
    "MaxKeys": "max-keys",
    "Prefix": "prefix",
}
_COLUMNS = ("Key", "LastModified", "ETag", "Size", "StorageClass")
_RECORD = re.compile(
    r"(\s*<(?:Contents>\s*(?:"
    r"<Key>([^<]*)</Key>\s*|<LastModified>([^<]*)</LastModified>\s*|<ETag>([^<]*)</ETag>\s*|<Size>([^<]*)</Size>\s*"
    r"|<StorageClass>([^<]*)</StorageClass>\s*|<Owner>((?:\s*<(?:ID|DisplayName)>[^<]*</(?:ID|DisplayName)>)*)\s*</Owner>\s*"
    r"|<ChecksumAlgorithm>[^<]*</ChecksumAlgorithm>\s*|<ChecksumType>[^<]*</ChecksumType>\s*)*</Contents>"
    r"|CommonPrefixes>\s*<Prefix>([^<]*)</Prefix>\s*</CommonPrefixes>))"
)
_DISPLAY_NAME = re.compile(r"<DisplayName>([^<]*)</DisplayName>")
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos));")
_LETTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ODD_BYTES = bytes(range(32)).replace(b"\t", b"").replace(b"\n", b"")
"""No XML, or (CR) not read as it stands."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:", re.ASCII)
_SECOND = re.compile(r"[0-5]\d(?:\.\d{1,6})?Z", re.ASCII)
_CACHED_MOMENTS = 50_000
_FOLDER = bytes((CODE_OF[EntryKind.FOLDER],))
_FILE = bytes((CODE_OF[EntryKind.FILE],))


@dataclass(slots=True)
class ObjectPage:
    """An answer to ListObjectsV2: columns of the same length, and prefixes.

    Attributes:
        keys: decoded.
        sizes: int64 bytes.
        modified_us: int64, microseconds since 1970 UTC; UNKNOWN where the server does not say.
        etags: without quotes.
        owners: names; empty if no owner is told.
        is_truncated: None if the answer does not say: then it is none of S3.
    """

    keys: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    modified_us: array[int] = field(default_factory=lambda: array("q"))
    etags: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    is_truncated: bool | None = None
    next_token: str = ""

    @classmethod
    def from_answer(cls, answer: dict[str, Any]) -> ObjectPage:
        """From an answer in the SDK's form."""
        contents: list[dict[str, Any]] = answer.get("Contents") or []
        owners = [str((found.get("Owner") or {}).get("DisplayName", "")) for found in contents]
        return cls(
            [found["Key"] for found in contents],
            array("q", [int(found.get("Size", 0)) for found in contents]),
            array("q", [microseconds(found.get("LastModified")) for found in contents]),
            [str(found.get("ETag", "")).strip('"') for found in contents],
            [found.get("StorageClass", "") for found in contents],
            owners if any(owners) else [],
            [common["Prefix"] for common in answer.get("CommonPrefixes") or ()],
            answer.get("IsTruncated"),
            answer.get("NextContinuationToken") or "",
        )

    def below(self, prefix: str, *, recursive: bool) -> Page:
        """What is in the folder of this prefix, relative to it."""
        start = len(prefix)
        folders = [common[start:-1] for common in self.prefixes if len(common) > start]
        count = len(self.keys)
        # Markers: of the folder itself, or (in a recursive listing) of those below it.
        if any(key.endswith("/") and not size for key, size in zip(self.keys, self.sizes, strict=True)):
            return Page((*_folder_entries(folders), *self._entries(prefix, recursive=recursive)))
        names = folders + ([key[start:] for key in self.keys] if start else self.keys)
        columns = Columns(
            len(names),
            names_joined(names),
            bytes(8 * len(folders)) + self.sizes.tobytes(),
            array("q", [UNKNOWN]).tobytes() * len(folders) + self.modified_us.tobytes(),
            _FOLDER * len(folders) + _FILE * count,
        )
        return Page.of_columns(
            columns, lambda: (*_folder_entries(folders), *self._entries(prefix, recursive=recursive))
        )

    def _entries(self, prefix: str, *, recursive: bool) -> Iterator[ListEntry]:
        start = len(prefix)
        owners = self.owners or [""] * len(self.keys)
        columns = zip(self.keys, self.modified_us, self.sizes, self.etags, self.classes, owners, strict=True)
        for key, moment, size, etag, storage_class, owner in columns:
            modified = None if moment == UNKNOWN else _EPOCH + timedelta(microseconds=moment)
            if not key.endswith("/") or size:
                yield ListEntry(key[start:], modified, size, etag=etag, storage_class=storage_class, owner=owner)
            elif recursive and key != prefix:
                yield ListEntry(key[start:-1], modified, 0, EntryKind.FOLDER)


def _folder_entries(names: list[str]) -> Iterator[ListEntry]:
    return (ListEntry(name, None, 0, EntryKind.FOLDER) for name in names)


def page_query(options: dict[str, Any]) -> str:
    """The query of ListObjectsV2 for the SDK's options, encoded and sorted. Keys are asked for encoded: XML cannot hold all."""
    pairs = {_PARAMETERS[name]: str(value) for name, value in options.items() if name in _PARAMETERS}
    pairs |= {"encoding-type": "url", "list-type": "2"}
    return "&".join(f"{name}={quote(pairs[name], safe='-_.~')}" for name in sorted(pairs))


def parse_page(body: bytes) -> ObjectPage:
    """An answer to ListObjectsV2.

    Raises:
        Unclear: it is something else.
    """
    return _read_by_pattern(body) or _read_by_parser(body)


# -- by pattern ------------------------------------------------------------------------------------------------------------


def _read_by_pattern(body: bytes) -> ObjectPage | None:
    """The page; None if there is anything in it that the pattern does not cover."""
    if len(body.translate(None, _ODD_BYTES)) != len(body):
        return None
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    first = _RECORD.search(text)
    if first is None:
        return None
    start = first.start()
    end = max(text.rfind(last) + len(last) for last in ("</Contents>", "</CommonPrefixes>"))
    records = _RECORD.findall(text, start, end)
    if sum([len(record[0]) for record in records]) != end - start:
        return None
    files = records
    if "<CommonPrefixes>" in text:
        files = [record for record in records if record[0].endswith("</Contents>")]
    try:
        rest = ElementTree.fromstring(text[:start] + text[end:])
        if any(element.tag.endswith(("Contents", "CommonPrefixes")) for element in rest):
            return None
        page, is_encoded = _frame(rest)
        if len(files) < len(records):
            prefixes = [record[-1] for record in records if not record[0].endswith("</Contents>")]
            page.prefixes = _url_decoded(_unescaped(prefixes), is_encoded)
        if files:
            _whole, *columns, owners, _prefixes = zip(*files, strict=True)
            _fill(page, [_unescaped(column) for column in columns], is_encoded)
            if any(owners):
                names = [_DISPLAY_NAME.search(owner) for owner in owners]
                page.owners = list(_unescaped([name[1] if name else "" for name in names]))
    except (ElementTree.ParseError, ValueError, OverflowError):
        return None
    return page


def _unescaped(texts: Sequence[str]) -> Sequence[str]:
    joined = "\0".join(texts)
    if "&" not in joined:
        return texts
    joined = joined.replace("&quot;", '"')  # in every ETag
    return (_ENTITY.sub(_letter, joined) if "&" in joined else joined).split("\0")


def _letter(found: re.Match[str]) -> str:
    decimal, hexadecimal, name = found.groups()
    if name:
        return _LETTERS[name]
    number = int(decimal) if decimal else int(hexadecimal, 16)
    if number < 0x20 and number not in (0x09, 0x0A, 0x0D):
        raise ValueError("no character of XML")
    return chr(number)


# -- by parser -------------------------------------------------------------------------------------------------------------


def _read_by_parser(body: bytes) -> ObjectPage:
    try:
        root = ElementTree.fromstring(body)
        page, is_encoded = _frame(root)
        start = root.tag.index("}") + 1 if root.tag.startswith("{") else 0
        rows: list[dict[str, str]] = []
        found_prefixes: list[str] = []
        for element in root:
            tag = element.tag[start:]
            if tag == "Contents":
                rows.append(_row(element, start))
            elif tag == "CommonPrefixes":
                found_prefixes += [inner.text or "" for inner in element if inner.tag[start:] == "Prefix"]
        page.prefixes = _url_decoded(found_prefixes, is_encoded)
        _fill(page, [[row[name] for row in rows] for name in _COLUMNS], is_encoded)
    except (ElementTree.ParseError, ValueError, OverflowError):
        raise Unclear("no page of a listing") from None
    owners = [row["DisplayName"] for row in rows]
    page.owners = owners if any(owners) else []
    return page


def _row(element: ElementTree.Element, start: int) -> dict[str, str]:
    row = dict.fromkeys((*_COLUMNS, "DisplayName"), "")
    for inner in element:
        tag = inner.tag[start:]
        if tag in _COLUMNS:
            row[tag] = inner.text or ""
        elif tag == "Owner":
            row |= {one.tag[start:]: one.text or "" for one in inner}
    return row


# -- both ------------------------------------------------------------------------------------------------------------------


def _frame(root: ElementTree.Element) -> tuple[ObjectPage, bool]:
    """What an answer says of itself, and whether its names are URL-encoded."""
    space, _brace, name = root.tag.rpartition("}")
    if name != "ListBucketResult":
        raise Unclear(f"a {name}")
    start = len(space) + 1 if space else 0
    said = {element.tag[start:]: element.text or "" for element in root if len(element) == 0}
    page = ObjectPage(next_token=said.get("NextContinuationToken", ""))
    if "IsTruncated" in said:
        page.is_truncated = said["IsTruncated"] == "true"
    return page, said.get("EncodingType") == "url"


def _fill(page: ObjectPage, columns: Sequence[Sequence[str]], is_encoded: bool) -> None:
    keys, moments, etags, sizes, classes = columns
    page.keys = _url_decoded(keys, is_encoded)
    page.modified_us = _moments(moments)
    page.etags = [etag.strip('"') for etag in etags]
    page.sizes = array("q", [int(size or 0) for size in sizes])
    page.classes = list(classes)


def _url_decoded(texts: Sequence[str], is_encoded: bool) -> list[str]:
    joined = "\0".join(texts)
    if not is_encoded or not ("%" in joined or "+" in joined):
        return list(texts)
    if "%00" in joined:
        return [unquote_plus(text) for text in texts]
    return unquote_plus(joined).split("\0") if texts else []


def _moments(texts: Sequence[str]) -> array[int]:
    for cache in (_minutes, _seconds):
        if len(cache) > _CACHED_MOMENTS:
            cache.clear()
    try:
        return array("q", [_minutes[text[:17]] + _seconds[text[17:]] for text in texts])
    except ValueError:
        return array("q", [microseconds(parse_time(text)) if text else UNKNOWN for text in texts])


class _Minutes(dict[str, int]):
    """Microseconds since 1970 of `2026-01-02T03:04:`; they are the same for many."""

    def __missing__(self, text: str) -> int:
        if _MINUTE.fullmatch(text) is None:
            raise ValueError(text)
        value = self[text] = microseconds(datetime.fromisoformat(f"{text}00+00:00"))
        return value


class _Seconds(dict[str, int]):
    """Microseconds of `05.678Z`."""

    def __missing__(self, text: str) -> int:
        if _SECOND.fullmatch(text) is None:
            raise ValueError(text)
        value = self[text] = round(float(text[:-1]) * 1e6)
        return value


_minutes, _seconds = _Minutes(), _Seconds()
