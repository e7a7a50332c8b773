"""Remote and local files are compared again, and folders with their manifests."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zlib
from pathlib import Path

import pytest

from kegbrowser.backends.errors import CheckFailed, FileNotFoundInStorageError, InvalidName, PermissionDenied
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.backends.proofs import Digests
from kegbrowser.transfer.jobs import (
    CheckManifest,
    MakeManifest,
    ManifestFormat,
    Pair,
    Source,
    VerifyAgain,
)
from kegbrowser.transfer.manifest_files import ManifestRow, ManifestWriter, read_manifest
from kegbrowser.transfer.part_file import PartFile
from tests.doubles.engine import Engine, pattern, put

FILES = {f"s{n % 3}/f{n}": pattern(n * 700, n) for n in range(20)} | {"empty": b"", "ä/ö ü": b"umlaut"}
ODD_NAMES = ("plain", "with space ", "back\\slash", "line\nfeed", "return\rhere", "*star", "日本", "\udcff raw")


class _Ignorant(MemoryStorage):
    """Knows no checksum."""

    def digests(self, path: str, *, etag: str = "") -> Digests:
        return Digests()


class _Knowing(MemoryStorage):
    """Knows the CRC-32 and SHA-256 of its files; counts the readers."""

    algorithms: tuple[str, ...] = ("crc32",)
    readers = 0

    def digests(self, path: str, *, etag: str = "") -> Digests:
        with super().open_reader(path) as reader:
            content = b"".join(reader.iter_chunks())
        known = {"crc32": f"{zlib.crc32(content):08x}", "sha256": hashlib.sha256(content).hexdigest()}
        return Digests({name: known[name] for name in self.algorithms})

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = ""):  # type: ignore[no-untyped-def]
        self.readers += 1
        return super().open_reader(path, offset=offset, length=length, etag=etag)


def _both(storage: MemoryStorage, folder: Path) -> None:
    for name, content in FILES.items():
        put(storage, f"d/{name}", content)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _job(engine: Engine, storage: MemoryStorage, folder: Path, **options: bool) -> VerifyAgain:
    return VerifyAgain(engine.adopt(storage), (Pair(Source("d/", is_folder=True), str(folder)),), **options)


@pytest.mark.parametrize(
    ("storage", "read_whole", "check"),
    [(_Knowing(), False, "CRC-32"), (_Ignorant(), True, "each byte"), (_Ignorant(), False, "")],
)
def test_same_files_are_the_same(tmp_path: Path, storage: MemoryStorage, read_whole: bool, check: str) -> None:
    _both(storage, tmp_path)

    with Engine() as engine:
        report = engine.whole(_job(engine, storage, tmp_path, read_whole=read_whole))

    assert report.files_done == len(FILES)
    assert report.check == check
    assert (report.checked.verified, report.checked.size_only) == ((22, 0) if check else (0, 22))
    assert engine.progress[-1].is_planned


@pytest.mark.parametrize("knows", [True, False])
def test_each_difference_is_told_with_its_kind(tmp_path: Path, knows: bool) -> None:
    storage = _Knowing() if knows else _Ignorant()
    _both(storage, tmp_path)
    (tmp_path / "s0/f3").write_bytes(b"x" + FILES["s0/f3"][1:])
    (tmp_path / "s1/f4").write_bytes(FILES["s1/f4"] + b"longer")
    (tmp_path / "s2/f5").unlink()
    (tmp_path / "s2/f8").unlink()
    (tmp_path / "s2/f8").mkdir()
    (tmp_path / "extra").write_bytes(b"only here")
    PartFile(str(tmp_path / "unfinished")).leave()
    storage.make_folder("d/empty folder/")

    with Engine() as engine:
        report = engine.report(_job(engine, storage, tmp_path, read_whole=True))

    told = {Path(failure.path).name or "empty folder": type(failure.error) for failure in report.failures}
    assert told == {
        "f3": CheckFailed,
        "f4": CheckFailed,
        "f5": FileNotFoundInStorageError,
        "f8": FileNotFoundInStorageError,
        "extra": FileNotFoundInStorageError,
        "empty folder": FileNotFoundInStorageError,
    }
    assert report.files_done == len(FILES) - 4
    assert report.files_done + report.files_failed == report.files_total


def test_single_file_is_compared_with_one_of_another_name(tmp_path: Path) -> None:
    storage = _Knowing()
    put(storage, "a/b.txt", b"content")
    (tmp_path / "other").write_bytes(b"content")

    with Engine() as engine:
        pair = Pair(Source("a/b.txt", is_folder=False), str(tmp_path / "other"))
        report = engine.whole(VerifyAgain(engine.adopt(storage), (pair,)))

    assert report.checked.verified == 1


def test_root_is_compared_with_what_is_in_the_folder(tmp_path: Path) -> None:
    storage = _Knowing()
    put(storage, "x/f", b"1")
    (tmp_path / "x").mkdir()
    (tmp_path / "x/f").write_bytes(b"1")

    with Engine() as engine:
        job = VerifyAgain(engine.adopt(storage), (Pair(Source("", is_folder=True), str(tmp_path)),))
        assert engine.whole(job).checked.verified == 1


def test_hostile_names_are_looked_for_where_a_download_puts_them(tmp_path: Path) -> None:
    storage = _Knowing()
    put(storage, "d/../secret", b"x")
    (tmp_path / "d").mkdir()
    (tmp_path / "secret").write_bytes(b"x")

    with Engine() as engine:
        report = engine.report(_job(engine, storage, tmp_path / "d", finds_extra=False))

    assert isinstance(report.failures[0].error, FileNotFoundInStorageError)


# -- manifests -----------------------------------------------------------------------------------------------------------


def _odd_folder(folder: Path) -> Path:
    folder.mkdir()
    for name in ODD_NAMES:
        (folder / name).write_bytes(os.fsencode(name) * 50)
    (folder / "sub").mkdir()
    (folder / "sub/deep").write_bytes(pattern(200_000))
    return folder


def test_list_of_sums_is_that_of_sha256sum(tmp_path: Path) -> None:
    folder = _odd_folder(tmp_path / "d")
    with Engine() as engine:
        report = engine.whole(MakeManifest(None, str(folder), str(tmp_path / "sums")))

    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", tmp_path / "sums"], cwd=folder, capture_output=True, check=False
    )
    theirs = subprocess.run(
        ["sha256sum", *sorted(path.name for path in folder.iterdir())], cwd=folder, capture_output=True, check=False
    )

    assert checked.returncode == 0, checked.stderr
    assert report.files_done == len(ODD_NAMES) + 1
    lines = set((tmp_path / "sums").read_bytes().splitlines(keepends=True))
    assert set(theirs.stdout.splitlines(keepends=True)) <= lines


def test_list_of_sums_of_sha256sum_is_understood(tmp_path: Path) -> None:
    folder = _odd_folder(tmp_path / "d")
    written = subprocess.run(
        ["find", ".", "-type", "f", "-exec", "sha256sum", "{}", "+"], cwd=folder, capture_output=True, check=True
    )
    (tmp_path / "sums").write_bytes(written.stdout)

    with Engine() as engine:
        report = engine.whole(CheckManifest(None, str(folder), str(tmp_path / "sums")))

    assert report.checked.verified == len(ODD_NAMES) + 1


@pytest.mark.parametrize("layout", list(ManifestFormat))
def test_folder_is_what_its_manifest_says_until_it_is_not(tmp_path: Path, layout: ManifestFormat) -> None:
    folder = _odd_folder(tmp_path / "d")
    manifest = str(folder / "manifest")
    with Engine() as engine:
        engine.whole(MakeManifest(None, str(folder), manifest, layout))
        engine.whole(MakeManifest(None, str(folder), manifest, layout))  # it does not list itself
        same = engine.whole(CheckManifest(None, str(folder), manifest))
        (folder / "plain").write_bytes(b"PLAIN" * 50)
        (folder / "日本").unlink()
        (folder / "new").write_bytes(b"")
        changed = engine.report(CheckManifest(None, str(folder), manifest))

    assert (same.files_done, same.checked.verified) == (len(ODD_NAMES) + 1, len(ODD_NAMES) + 1)
    assert {Path(failure.path).name: type(failure.error) for failure in changed.failures} == {
        "plain": CheckFailed,
        "日本": FileNotFoundInStorageError,
        "new": FileNotFoundInStorageError,
    }


@pytest.mark.parametrize("algorithms", [(), ("sha256",)])
def test_manifest_of_a_remote_folder_is_that_of_the_local_one(tmp_path: Path, algorithms: tuple[str, ...]) -> None:
    storage = _Knowing()
    storage.algorithms = algorithms
    folder = tmp_path / "d"
    folder.mkdir()
    _both(storage, folder)

    with Engine() as engine:
        spec = engine.adopt(storage)
        engine.whole(MakeManifest(None, str(folder), str(tmp_path / "here")))
        storage.readers = 0
        engine.whole(MakeManifest(spec, "d/", str(tmp_path / "there")))
        readers = storage.readers
        same = engine.whole(CheckManifest(spec, "d/", str(tmp_path / "here")))
        put(storage, "d/extra", b"1")
        extra = engine.report(CheckManifest(spec, "d/", str(tmp_path / "here")))

    lines = [sorted((tmp_path / name).read_bytes().splitlines()) for name in ("here", "there")]
    assert lines[0] == lines[1]
    assert bool(readers) is not bool(algorithms)
    assert same.checked.verified == len(FILES)
    assert [failure.path for failure in extra.failures] == ["d/extra"]


def test_manifest_that_fails_leaves_the_older_one(tmp_path: Path) -> None:
    target = tmp_path / "sums"
    target.write_bytes(b"older")

    def fail() -> None:
        with ManifestWriter(str(target), ManifestFormat.SHA256SUMS) as writer:
            writer.add(ManifestRow("f", sha256="0" * 64))
            raise PermissionDenied("no")

    with pytest.raises(PermissionDenied):
        fail()

    assert target.read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir()] == ["sums"]


def test_file_that_cannot_be_read_is_told_and_the_others_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    (folder / "dangling").symlink_to(folder / "nowhere")

    with Engine() as engine:
        report = engine.report(MakeManifest(None, str(folder), str(tmp_path / "sums")))

    assert [Path(failure.path).name for failure in report.failures] == ["dangling"]
    assert (tmp_path / "sums").read_text() == f"{hashlib.sha256(b'a').hexdigest()}  a\n"


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret"])
def test_manifest_never_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "sums").write_text(f"{hashlib.sha256(b'x').hexdigest()}  {name}\n")

    with Engine() as engine:
        report = engine.report(CheckManifest(None, str(folder), str(tmp_path / "sums")))

    assert isinstance(report.failures[0].error, InvalidName)


def test_lines_that_make_no_sense_are_told(tmp_path: Path) -> None:
    (tmp_path / "sums").write_bytes(b"# a remark\nnonsense\n\n" + b"0" * 64 + b"  f\n" + b"\xff" * 200_000)
    rows = list(read_manifest(str(tmp_path / "sums")))

    assert [row.path for row in rows if isinstance(row, ManifestRow)] == ["f"]
    assert "Line 2 " in str(rows[0])
    assert all(isinstance(row, CheckFailed) for row in rows[2:])


@pytest.mark.parametrize("line", ["x", "a,b,2024-01-01,,,", "a,1,then,,,", "a,1,,zz,,", ",1,,,,"])
def test_lines_of_csv_that_make_no_sense_are_told(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.csv").write_text(f"path,size,modified,sha256,check,state\n{line}\nok,1,,,,\n")
    rows = list(read_manifest(str(tmp_path / "list.csv")))

    assert isinstance(rows[0], CheckFailed)
    assert rows[1:] == [ManifestRow("ok", 1)]
