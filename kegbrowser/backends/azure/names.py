"""Which names the service keeps as they are given, and how they stand in a URL.

The rules are those of "Naming and Referencing Containers, Blobs, and Metadata": at most 1,024 characters in at most 254 parts, no
control characters, no part that ends in a dot. What it only advises against is worse than refused: the service takes such a name
and stores **another** one. It resolves `.` and `..`, drops dots at the end of a part and takes `\\` for `/`, even where they are
percent-encoded, so that `report.` would replace `report`. New blobs with such names are therefore refused here.

Slashes at the start, in a row and at the end are kept by the service.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.errors import InvalidName

MAX_CHARACTERS = 1024
MAX_PARTS = 254

_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9](?:-?[a-z0-9])*\Z|\$[a-z]{3,40}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NO_LETTER = re.compile("[\ud800-\udfff]")
_NOT_IN_XML = re.compile("[\ufffe\uffff]")
_DOTS = re.compile(r"(?:^|(?<=/))\.{1,2}(?=/|$)")


def is_container_name(name: str) -> bool:
    """Whether there can be a container of this name; others must not get into a URL, where `..` or `a?b` mean something else."""
    return _CONTAINER.match(name) is not None


def check_new_name(deed: Deed) -> None:
    """Refuse to make a blob whose name the service would not keep.

    Raises:
        InvalidName: says why.
    """
    blob = deed.blob
    reason = ""
    if len(blob) > MAX_CHARACTERS:
        reason = "Azure allows names of 1,024 characters"
    elif blob.count("/") >= MAX_PARTS:
        reason = "Azure allows 254 folders in one another"
    elif "\\" in blob:
        reason = "Azure would turn “\\” into “/”"
    elif any(part in (".", "..") for part in blob.split("/")):
        reason = "Azure takes “.” and “..” for folders and would store it under another name"
    elif any(part.endswith(".") for part in blob.split("/")):
        reason = "Azure drops a dot at the end of a name and would store it under another name"
    elif _CONTROL.search(blob) or _NOT_IN_XML.search(blob):
        reason = "Azure allows no control characters in names"
    if reason:
        raise InvalidName(deed.sentence(reason), path=deed.path)
    check_sendable(deed)


def check_sendable(deed: Deed) -> None:
    """Refuse a name that has no bytes.

    Raises:
        InvalidName: it holds half of a surrogate pair.
    """
    if _NO_LETTER.search(deed.blob):
        raise InvalidName(deed.sentence("its name is no valid text"), path=deed.path)


def is_doubtful(blob: str) -> bool:
    """Whether a request for this name might reach another blob.

    A server that lists such a name keeps it (an emulator does). It is then only touched if its mark is the listed one.
    """
    return "\\" in blob or any(part.endswith(".") for part in blob.split("/"))


def in_url(blob: str) -> str:
    """The name as it stands in a URL's path; what sends it must not resolve its dots."""
    return exact_dots(quote(blob, safe="/~"))


def exact_dots(path: str) -> str:
    """Encode the parts of a URL's path that are dots, which all that handle a URL would resolve."""
    return _DOTS.sub(lambda dots: "%2E" * len(dots.group()), path)
