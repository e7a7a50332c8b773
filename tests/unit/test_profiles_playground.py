"""The Playground: real files of many kinds, made once and never again."""

from __future__ import annotations

import csv
import json
import re
import shutil
import struct
import tarfile
import time
import wave
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kegbrowser.backends.locations import Location
from kegbrowser.backends.registry import backend
from kegbrowser.profiles import playground
from kegbrowser.profiles.connections import ConnectionStore
from kegbrowser.profiles.places import Places
from kegbrowser.profiles.playground import ensure_playground, make_sample_files
from kegbrowser.profiles.settings import SettingsStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data") / "Playground"
    make_sample_files(made)
    return made


class Stores:
    """What survives a restart, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.places = Places.below(folder)
        self.connections = ConnectionStore(self.places.connections_file)
        self.settings = SettingsStore(self.places.settings_file)

    def start(self) -> bool:
        return ensure_playground(self.places, self.connections, self.settings)


def test_the_first_start_makes_files_and_a_connection_to_them(tmp_path: Path) -> None:
    stores = Stores(tmp_path)

    assert stores.start() is True

    (connection,) = stores.connections.load()
    assert (connection.name, connection.kind) == ("Playground", "local")
    notes = Location("local", "", str(stores.places.playground / "Notes.txt").removeprefix("/"))
    assert backend("local").match(connection.options, notes) == "Notes.txt"
    assert stores.start() is False
    assert len(stores.connections.load()) == 1


def test_what_the_user_deleted_is_never_made_again(tmp_path: Path) -> None:
    stores = Stores(tmp_path)
    stores.start()
    shutil.rmtree(stores.places.playground)
    stores.connections.remove(playground.CONNECTION_ID)

    assert Stores(tmp_path).start() is False

    assert not stores.places.playground.exists()
    assert stores.connections.load() == ()


def test_a_start_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    stores = Stores(tmp_path)
    stores.start()
    stores.settings.change(playground_made=False)
    (stores.places.playground / "mine.txt").write_text("mine")

    assert stores.start() is True

    assert len(stores.connections.load()) == 1
    assert (stores.places.playground / "mine.txt").read_text() == "mine"


def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(size_bytes: int) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kegbrowser.profiles.samples.noise", fill_up)
    stores = Stores(tmp_path)

    with pytest.raises(OSError, match="No space"):
        stores.start()

    assert list(stores.places.data.iterdir()) == []
    monkeypatch.undo()
    assert stores.start() is True


def test_making_all_takes_less_than_two_seconds(tmp_path: Path) -> None:
    began = time.perf_counter()

    make_sample_files(tmp_path / "Playground")

    assert time.perf_counter() - began < 2  # 0.4 s on an idle machine


def test_pictures_are_real(folder: Path) -> None:
    width, height, pixels = _read_png((folder / "Pictures/Gradient.png").read_bytes())
    assert (width, height, len(pixels)) == (640, 400, 640 * 400 * 3)
    assert pixels[:3] == b"\0\0\0"
    bitmap = (folder / "Pictures/Gradient.bmp").read_bytes()
    assert bitmap[:2] == b"BM"
    assert struct.unpack_from("<I", bitmap, 2)[0] == len(bitmap)
    assert ElementTree.parse(folder / "Pictures/Keg.svg").getroot().tag.endswith("svg")


def test_sound_archives_and_documents_are_real(folder: Path) -> None:
    with wave.open(str(folder / "Sound/Tone.wav")) as tone:
        assert (tone.getnchannels(), tone.getsampwidth()) == (1, 2)
        assert 1 < tone.getnframes() / tone.getframerate() < 2
        assert len(set(tone.readframes(1000))) > 50
    with zipfile.ZipFile(folder / "Archives/Samples.zip") as archive:
        assert archive.testzip() is None
        assert "data/rain.csv" in archive.namelist()
    with tarfile.open(folder / "Archives/Samples.tar.gz") as tar:
        assert "words.py" in tar.getnames()
    json.loads((folder / "Documents/Record.json").read_text(encoding="utf-8"))
    with (folder / "Documents/Rain.csv").open(encoding="utf-8", newline="") as rows:
        assert {len(row) for row in csv.reader(rows)} == {3}
    compile((folder / "Code/words.py").read_text(encoding="utf-8"), "words.py", "exec")


def test_the_pdf_s_table_of_objects_is_right(folder: Path) -> None:
    raw = (folder / "Documents/Report.pdf").read_bytes()

    start = int(raw.split(b"startxref\n")[1].split()[0])
    offsets = [int(entry) for entry in re.findall(rb"(\d{10}) 00000 n ", raw[start:])]

    assert raw.startswith(b"%PDF-1.4")
    assert raw[start:].startswith(b"xref")
    assert [raw[offset:].split()[0] for offset in offsets] == [b"1", b"2", b"3", b"4"]
    stream = raw.split(b"stream\n")[1].removesuffix(b"\nend")
    assert b"/Length %d " % len(stream) in raw


def test_there_is_something_of_everything(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = [path.name for path in files]

    assert len(list((folder / "Many files").iterdir())) == 2000
    assert (folder / "Empty file").stat().st_size == 0
    assert list((folder / "Empty folder").iterdir()) == []
    assert (folder / "Deep/one/two/three/four/five").is_dir()
    assert (folder / "Archives/Random.bin").stat().st_size == 4 * 1024 * 1024
    assert len(zlib.compress((folder / "Archives/Random.bin").read_bytes()[: 1 << 20], 1)) > 1 << 20
    assert max(len(name.encode()) for name in names) > 200
    for block in ("\u4e00", "\u3042", "\uac00", "\u0627", "\u05d0", "\U0001f300"):
        low = ord(block)
        assert any(low <= ord(char) < low + 0x2000 for name in names for char in name), block


def test_times_are_spread_over_the_past_years(folder: Path) -> None:
    now = datetime.now(UTC)
    times = [datetime.fromtimestamp(path.lstat().st_mtime, UTC) for path in folder.rglob("*") if not path.is_symlink()]

    assert max(times) < now
    assert min(times) > now - timedelta(days=9 * 366)
    assert len({moment.year for moment in times}) >= 8
    assert len(set(times)) > 2000


def _read_png(raw: bytes) -> tuple[int, int, bytes]:
    """Width, height and pixels of an unfiltered RGB image; every chunk's checksum is checked."""
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    place, bodies = 8, {}
    while place < len(raw):
        length, kind = struct.unpack_from(">I4s", raw, place)
        body = raw[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", raw, place + 8 + length)[0] == zlib.crc32(kind + body)
        bodies[kind] = body
        place += 12 + length
    width, height = struct.unpack_from(">II", bodies[b"IHDR"])
    rows = zlib.decompress(bodies[b"IDAT"])
    stride = width * 3 + 1
    assert {rows[y * stride] for y in range(height)} == {0}
    return width, height, b"".join(rows[y * stride + 1 : (y + 1) * stride] for y in range(height))
