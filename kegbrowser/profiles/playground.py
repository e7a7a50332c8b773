"""The Playground: a folder of sample files to try the program on, made once, at the first start."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kegbrowser.backends.locations import Location
from kegbrowser.backends.registry import backend
from kegbrowser.profiles import samples
from kegbrowser.profiles.connections import Connection, ConnectionStore
from kegbrowser.profiles.places import Places, make_private_folder
from kegbrowser.profiles.settings import SettingsStore

log = logging.getLogger(__name__)

NAME = "Playground"
CONNECTION_ID = uuid.uuid5(uuid.NAMESPACE_URL, "kegbrowser:playground").hex
SMALL_FILES = 2000

_NAME_REFUSED = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
_YEARS_S = 8 * 365 * 86400
_GOLDEN = 0.6180339887498949
_TEXT = "Everything in this folder is made up. Rename it, delete it, drag it to a server and back: nothing can be lost here.\n"
_CSV = "station,year,rain_mm\n" + "".join(f"S{n % 7},{2010 + n % 15},{(n * 37) % 900}\n" for n in range(400))
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">
  <rect width="100" height="100" rx="12" fill="#27566b"/>
  <ellipse cx="50" cy="26" rx="30" ry="10" fill="#f0b44c"/>
  <path d="M20 26v48c0 6 13 10 30 10s30-4 30-10V26" fill="none" stroke="#f0b44c" stroke-width="5"/>
</svg>
"""
_PYTHON = '''"""Count the words of a text."""

import sys
from collections import Counter

for word, count in Counter(sys.stdin.read().lower().split()).most_common(10):
    print(f"{count:6} {word}")
'''
_HTML = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Playground</title>
<h1>Playground</h1><p>A page to be uploaded somewhere.</p></html>
"""
_JSON = '{\n  "name": "Playground",\n  "tags": ["sample", "échantillon", "見本"],\n  "size": null\n}\n'


def ensure_playground(places: Places, connections: ConnectionStore, settings: SettingsStore) -> bool:
    """Make the Playground and its connection unless that was done once; what the user deleted since stays deleted.

    Blocking, below a second. Whether it was made now.

    Raises:
        OSError: the disk refused; it is tried again at the next start.
    """
    if settings.load().playground_made:
        return False
    if not places.playground.exists():
        make_sample_files(places.playground)
    info = backend("local")
    options = info.from_location(Location("local", "", str(places.playground).removeprefix("/")))
    if connections.get(CONNECTION_ID) is None:  # there already if the last start ended right here
        connections.add(replace(Connection.new(info.kind, NAME, options), connection_id=CONNECTION_ID))
    settings.change(playground_made=True)
    return True


def make_sample_files(folder: Path) -> None:
    """Fill a new folder with sample files; it appears when all are there, or not at all.

    Raises:
        OSError: the disk refused, or the folder exists.
    """
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    make_private_folder(folder.parent)
    try:
        unfinished.mkdir(mode=0o700)
        now_s = datetime.now(UTC).timestamp()
        for number, (name, content) in enumerate(_files()):
            _write(unfinished / name, content, now_s - _age_s(number))
        for name in ("Empty folder", "Deep/one/two/three/four/five"):
            (unfinished / name).mkdir(parents=True, exist_ok=True)
        _add_links(unfinished)
        _set_folder_times(unfinished, now_s)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    log.info("made the sample files in %s", folder)


def _files() -> Iterator[tuple[str, bytes]]:
    """All files as (path with "/", content)."""
    readme = f"# Playground\n\n{_TEXT}\n- *Many files* holds {SMALL_FILES:,} files\n- *Names* holds difficult names\n"
    yield "Read me.md", readme.encode()
    yield "Notes.txt", (_TEXT * 12).encode()
    yield "Empty file", b""
    yield ".hidden.txt", b"Names that begin with a dot are hidden by many programs.\n"
    yield "Pictures/Gradient.png", samples.png(640, 400)
    yield "Pictures/Thumbnail.png", samples.png(64, 64)
    yield "Pictures/Gradient.bmp", samples.bmp(1200, 800)
    yield "Pictures/Keg.svg", _SVG.encode()
    yield "Sound/Tone.wav", samples.wav(1.5)
    yield "Documents/Report.pdf", samples.pdf("Report", ("A page made by hand.", "Nothing here is real."))
    yield "Documents/Rain.csv", _CSV.encode()
    yield "Documents/Page.html", _HTML.encode()
    yield "Documents/Record.json", _JSON.encode()
    yield "Code/words.py", _PYTHON.encode()
    yield "Code/words.sh", b"#!/bin/sh\npython3 words.py < ../Notes.txt\n"
    members = {"words.py": _PYTHON.encode(), "data/rain.csv": _CSV.encode(), "empty": b""}
    yield "Archives/Samples.zip", samples.zip_of(members)
    yield "Archives/Samples.tar.gz", samples.tar_gz_of(members)
    yield "Archives/Random.bin", samples.noise(4 * 1024 * 1024)
    yield "Deep/one/two/three/four/Found it.txt", b"You went a long way.\n"
    for name in _NAMES:
        yield f"Names/{name}.txt", f"{name}\n".encode()
    for number in range(1, SMALL_FILES + 1):
        yield f"Many files/reading {number}.txt", b"%d;%d\n" % (number, number * 7919 % 1000)


_NAMES = (
    "Grüße aus Köln",
    "naïve café résumé",
    "日本語のファイル名",
    "中文文件名",
    "한국어 파일 이름",
    "ملف باللغة العربية",
    "קובץ בעברית",
    "Привет, мир",
    "🎉 party 🦆🧀",
    "👩‍👩‍👧‍👦 family",
    "two  spaces, (brackets) & ampersand",
    "50% off #1 +tax = 'cheap'",
    "file2",
    "file10",
    "FILE10 in capitals",
    "a.name.with.many.dots",
    "a long name " + "that goes on and on " * 10 + "to the end",
)


def _write(path: Path, content: bytes, modified_s: float) -> None:
    try:
        path.write_bytes(content)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        if error.errno not in _NAME_REFUSED:
            raise
        return  # some file systems hold shorter names or fewer characters; the other samples do without
    os.utime(path, (modified_s, modified_s))


def _add_links(folder: Path) -> None:
    links = folder / "Links"
    links.mkdir()
    with suppress(OSError):  # Windows allows links to developers only
        (links / "to the notes").symlink_to("../Notes.txt")
        (links / "to the pictures").symlink_to("../Pictures", target_is_directory=True)
        (links / "to nowhere").symlink_to("../Nowhere.txt")


def _set_folder_times(folder: Path, now_s: float) -> None:
    folders = [Path(name) for name, _folders, _files in os.walk(folder) if name != str(folder)]
    for number, one in enumerate(sorted(folders)):
        modified_s = now_s - _age_s(number + 5)
        os.utime(one, (modified_s, modified_s))


def _age_s(number: int) -> float:
    """Seconds before now: spread evenly over the past years, never the same twice."""
    return 60 + (number + 1) * _GOLDEN % 1.0 * _YEARS_S
