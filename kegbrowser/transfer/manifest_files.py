"""Lists of files and their SHA-256 sums, written and read: as sha256sum(1) does, or as CSV."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self, TextIO

from kegbrowser.backends.errors import CheckFailed
from kegbrowser.transfer.jobs import ManifestFormat
from kegbrowser.transfer.local_errors import local_errors
from kegbrowser.transfer.part_file import PartFile

COLUMNS = ("path", "size", "modified", "sha256", "check", "state")
BUFFER_BYTES = 256 * 1024
LONGEST_LINE = 64 * 1024

_SUM_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL)
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
_ESCAPED = re.compile(r"\\[\\nr]")


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A file in a manifest.

    Attributes:
        path: below the folder, its parts joined by "/".
        size: bytes; None if unknown.
        modified: UTC; None if unknown.
        sha256: lower-case hex digits; "" if it was not computed, which only CSV can say.
        check: by which checksum it was verified when it was moved; "" if by none.
        state: in which state it ended, as people write it.
    """

    path: str
    size: int | None = None
    modified: datetime | None = None
    sha256: str = ""
    check: str = ""
    state: str = ""


class ManifestWriter:
    """Writes a manifest. A context manager: left without an exception the file appears, whole, in the place of an older one.

    Raises:
        PermissionDenied, QuotaExceeded: as the disk says.
    """

    def __init__(self, target: str, layout: ManifestFormat) -> None:
        self._layout = layout
        self._file = PartFile(os.path.abspath(target), overwrite=True)
        self._pending = bytearray()
        self._written = 0
        if layout is ManifestFormat.CSV:
            self._pending += _csv_line(COLUMNS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc_type is None:
                self._flush()
                self._file.publish(self._written, None, overwrite=True)
        finally:
            self._file.discard()

    def add(self, row: ManifestRow) -> None:
        """Append a file. One that has no SHA-256 is left out of a list of sums."""
        if self._layout is ManifestFormat.CSV:
            self._pending += _csv_line(_cells(row))
        elif row.sha256:
            self._pending += sum_line(row.path, row.sha256)
        if len(self._pending) >= BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._file.write_at(bytes(self._pending), self._written)
        self._written += len(self._pending)
        self._pending.clear()


def sum_line(path: str, sha256: str) -> bytes:
    """A line as sha256sum writes it: one with a backslash, a line feed or a carriage return in the name begins with "\\"."""
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != path else ""
    return f"{mark}{sha256}  {escaped}\n".encode("utf-8", "surrogateescape")


def read_manifest(path: str) -> Iterator[ManifestRow | CheckFailed]:
    """The files of a manifest in either format, as they are read; an error for a line that makes no sense.

    Raises:
        StorageError: it cannot be read.
    """
    with local_errors("read", path):
        with open(path, "rb") as file:
            first = file.read(len(",".join(COLUMNS)) + 3)
            if not first.removeprefix(b"\xef\xbb\xbf").startswith(b"path,"):
                file.seek(0)
                yield from _read_sums(path, file)
                return
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            yield from _read_csv(path, text)


def _read_sums(path: str, file: io.BufferedReader) -> Iterator[ManifestRow | CheckFailed]:
    number = 0
    while raw := file.readline(LONGEST_LINE):
        number += 1
        line = raw.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
        if not line or line.startswith("#"):
            continue
        match = _SUM_LINE.fullmatch(line)
        if match is None:
            yield _senseless(path, number)
            continue
        mark, digits, name = match.groups()
        if mark:
            name = _ESCAPED.sub(lambda found: _ESCAPES[found.group()], name)
        yield ManifestRow(name.removeprefix("./"), sha256=digits.lower())


def _read_csv(path: str, text: TextIO) -> Iterator[ManifestRow | CheckFailed]:
    reader = csv.DictReader(text)
    while True:
        try:
            row = next(reader, None)
        except csv.Error:
            yield _senseless(path, reader.line_num)
            return
        if row is None:
            return
        try:
            yield _row_of_cells(row)
        except (ValueError, TypeError, KeyError):
            yield _senseless(path, reader.line_num)


def _row_of_cells(cells: Mapping[str, str]) -> ManifestRow:
    if any(cells[column] is None for column in COLUMNS[:4]):
        raise ValueError(cells["path"])
    digits = cells["sha256"].strip().lower()
    if not cells["path"] or (digits and not re.fullmatch(r"[0-9a-f]{64}", digits)):
        raise ValueError(cells["path"])
    return ManifestRow(
        cells["path"],
        int(cells["size"]) if cells["size"] else None,
        datetime.fromisoformat(cells["modified"]) if cells["modified"] else None,
        digits,
        cells.get("check") or "",
        cells.get("state") or "",
    )


def _cells(row: ManifestRow) -> tuple[str, ...]:
    modified = "" if row.modified is None else row.modified.isoformat().replace("+00:00", "Z")
    return row.path, "" if row.size is None else str(row.size), modified, row.sha256, row.check, row.state


def _csv_line(cells: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _senseless(path: str, number: int) -> CheckFailed:
    name = os.path.basename(path)
    return CheckFailed(f"Line {number:,} of “{name}” is no line of a manifest.", path=path, hint="", retryable=False)
