"""Uploads in parts over SFTP, and what the server's shell proves of them: never believed blindly, never published damaged."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kegbrowser.backends.errors import AlreadyExists, CheckFailed, ConnectionLost, InvalidName
from kegbrowser.backends.proofs import Certainty, Proof
from kegbrowser.backends.sftp import SFTPStorage, shell
from kegbrowser.backends.sftp.packets import GatheringPacketizer
from kegbrowser.backends.uploads import Part, PartedUpload, UploadSpec
from tests.conformance.content import content_of, digest
from tests.doubles.sftp_server import SftpServerDouble, Ways
from tests.integration.sftp_places import break_at_rename, opened, opened_double
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.sshd import Sshd, SshdAddress

MIB = 1 << 20
PART = 8 * MIB
SIZE = 2 * PART + 12_345
NO_PYTHON = "import this_is_not_there"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder, which the real server sees as well."""
    return tmp_path


@pytest.fixture
def storage(sshd_server: SshdAddress, folder: Path) -> Iterator[SFTPStorage]:
    with opened(sshd_server, root=str(folder)) as made:
        yield made


@pytest.fixture(params=["CRC-32", "SHA-256"])
def algorithm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the server can compute: with Python, or without."""
    if request.param == "SHA-256":
        monkeypatch.setattr(shell, "_PYTHON", NO_PYTHON)
    return str(request.param)


def _ignore(_count: int) -> None:
    return None


def _send(upload: PartedUpload, content: bytes, numbers: tuple[int, ...] = (0, 1, 2)) -> dict[int, Part]:
    return {number: upload.send(number, content[number * PART : (number + 1) * PART], _ignore) for number in numbers}


def _put(storage: SFTPStorage, content: bytes) -> Proof:
    upload = storage.begin_upload(UploadSpec("file", len(content)))
    _send(upload, content)
    return upload.commit()


def _part_file(folder: Path) -> Path:
    (path,) = folder.glob(".*.kegpart")
    return path


def _overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


# -- proof ---------------------------------------------------------------------------------------------------------------


def test_the_servers_shell_proves_what_was_sent(storage: SFTPStorage, folder: Path, algorithm: str) -> None:
    content = content_of(SIZE)

    proof = _put(storage, content)

    assert proof == Proof.verified(algorithm)
    assert digest((folder / "file").read_bytes()) == digest(content)


def test_a_part_that_is_damaged_at_the_server_is_never_published(
    storage: SFTPStorage, folder: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(SIZE)
    upload = storage.begin_upload(UploadSpec("file", SIZE))
    asked = shell.Shell.ask_range

    def damage_first(own: shell.Shell, path: bytes, offset: int, size: int) -> None:
        if offset == PART:
            _overwrite(_part_file(folder), PART + 5, b"damaged")
        asked(own, path, offset, size)

    monkeypatch.setattr(shell.Shell, "ask_range", damage_first)
    _send(upload, content)

    with pytest.raises(CheckFailed):
        upload.commit()
    upload.discard()
    assert list(folder.iterdir()) == []


def test_checksums_are_given_for_every_name(storage: SFTPStorage, folder: Path, algorithm: str) -> None:
    names = ["-rf", "a'b", 'a"b', "a\nb", "$(touch x)", "`id`", "a\\b", "é\udcff", " ", "*", "a;b", "#", "!!", "%d"]
    for place, name in enumerate(names):
        (folder / name).write_bytes(b"%d" % place)

    found = [storage.digests(name).values for name in names]

    key = {"CRC-32": "crc32", "SHA-256": "sha256"}[algorithm]
    assert [list(values) for values in found] == [[key]] * len(names)
    assert len({values[key] for values in found}) == len(names)
    assert {path.name for path in folder.iterdir()} == set(names)


@pytest.mark.parametrize(
    "forced",
    [
        "internal-sftp",
        "sh -c 'case $SSH_ORIGINAL_COMMAND in internal-sftp) exec /usr/lib/openssh/sftp-server;; esac; cd /; exec sh'",
        "sh -c 'case $SSH_ORIGINAL_COMMAND in internal-sftp) exec /usr/lib/openssh/sftp-server;; esac; echo no; exit 1'",
    ],
    ids=["nothing but SFTP", "a shell elsewhere", "a shell that refuses"],
)
def test_without_a_usable_shell_the_size_is_compared_and_that_is_said(forced: str, folder: Path) -> None:
    content = content_of(SIZE)
    with Sshd(options=(f"ForceCommand {forced}",)) as server, opened(server.start(), root=str(folder)) as storage:
        proof = _put(storage, content)
        digests = storage.digests("file")

    assert proof == Proof.size_only("the server computes no checksums")
    assert (digests.values, digests.reason) == ({}, "the server computes no checksums")
    assert digest((folder / "file").read_bytes()) == digest(content)


def test_what_a_login_script_prints_does_not_disturb(folder: Path) -> None:
    forced = (
        "sh -c 'case $SSH_ORIGINAL_COMMAND in internal-sftp) exec /usr/lib/openssh/sftp-server;; esac; "
        "echo Welcome; echo; printf no-newline; exec sh'"
    )
    with Sshd(options=(f"ForceCommand {forced}",)) as server, opened(server.start(), root=str(folder)) as storage:
        assert _put(storage, content_of(SIZE)).certainty is Certainty.VERIFIED


def test_checksums_can_be_turned_off(sshd_server: SshdAddress, folder: Path) -> None:
    with opened(sshd_server, root=str(folder), checksums=False) as storage:
        assert _put(storage, content_of(SIZE)).certainty is Certainty.SIZE_ONLY


def test_a_server_that_knows_nothing_but_the_protocol_takes_parts(tmp_path: Path) -> None:
    content = content_of(SIZE)
    with SftpServerDouble(tmp_path, Ways(password="secret")) as double, opened_double(double) as storage:
        (tmp_path / "file").write_bytes(b"old")

        proof = _put(storage, content)

    assert proof.certainty is Certainty.SIZE_ONLY
    assert digest((tmp_path / "file").read_bytes()) == digest(content)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# -- going on ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checksums", [True, False], ids=["asked", "read back"])
@pytest.mark.parametrize("place", ["hole", "tail"])
def test_a_part_that_the_server_lost_is_not_believed(
    sshd_server: SshdAddress, folder: Path, place: str, *, checksums: bool
) -> None:
    content = content_of(SIZE)
    with opened(sshd_server, root=str(folder), checksums=checksums) as storage:
        spec = UploadSpec("file", SIZE)
        first = storage.begin_upload(spec)
        sent = _send(first, content)
        first.leave()
        if place == "hole":
            _overwrite(_part_file(folder), PART, bytes(PART))
        else:
            _overwrite(_part_file(folder), 2 * PART + 6000, b"lost")

        second = storage.resume_upload(spec, first.token, sent)
        missing = set(sent) - set(second.parts)
        _send(second, content, tuple(missing))
        proof = second.commit()

    assert missing == ({1} if place == "hole" else {2})
    assert digest((folder / "file").read_bytes()) == digest(content)
    assert proof.certainty is (Certainty.VERIFIED if checksums else Certainty.SIZE_ONLY)


def test_resumed_parts_are_proven_as_well(storage: SFTPStorage, folder: Path, algorithm: str) -> None:
    content = content_of(SIZE)
    spec = UploadSpec("file", SIZE)
    first = storage.begin_upload(spec)
    sent = _send(first, content, (2, 0))
    first.leave()
    lied = sent | {0: replace(sent[0], crc32=sent[0].crc32 ^ 1, tag="0" * 64)}

    second = storage.resume_upload(spec, first.token, lied)
    assert set(second.parts) == {2}
    _send(second, content, (0, 1))

    assert second.commit() == Proof.verified(algorithm)
    assert digest((folder / "file").read_bytes()) == digest(content)


def test_an_upload_through_a_link_goes_on_behind_it(storage: SFTPStorage, folder: Path) -> None:
    content = content_of(SIZE)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "real").write_bytes(b"old")
    storage.make_link("file", "elsewhere/real")
    spec = UploadSpec("file", SIZE)
    first = storage.begin_upload(spec)
    sent = _send(first, content, (0,))
    first.leave()

    second = storage.resume_upload(spec, first.token, sent)
    assert set(second.parts) == {0}
    _send(second, content, (1, 2))
    second.commit()

    assert (folder / "file").is_symlink()
    assert digest((folder / "elsewhere" / "real").read_bytes()) == digest(content)
    assert [path.name for path in (folder / "elsewhere").iterdir()] == ["real"]


@pytest.mark.parametrize("token", ["file", "../file", ".file.12345678.kegpart/../file", ".x.kegpart", ""])
def test_nothing_but_our_own_temporary_files_is_ever_discarded(storage: SFTPStorage, folder: Path, token: str) -> None:
    (folder / "file").write_bytes(b"precious")

    with pytest.raises(InvalidName):
        storage.discard_upload("file", token)
    assert (folder / "file").read_bytes() == b"precious"


def test_unfinished_uploads_are_found_in_folders_below(storage: SFTPStorage, folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / ".mine.kegpart").write_bytes(b"not ours")
    upload = storage.begin_upload(UploadSpec("a/b/two.words", SIZE))
    upload.leave()

    (found,) = storage.incomplete_uploads("a")

    assert (found.path, found.token, found.size_bytes) == ("a/b/two.words", upload.token, 0)
    storage.discard_upload(found.path, found.token)
    assert list((folder / "a" / "b").iterdir()) == []


def test_permissions_and_times_are_set(storage: SFTPStorage, folder: Path) -> None:
    moment = datetime(2020, 2, 29, 12, 0, 1, tzinfo=UTC)
    upload = storage.begin_upload(UploadSpec("file", 3, modified=moment, permissions=0o640))
    upload.send(0, b"abc", _ignore)
    upload.commit()

    found = (folder / "file").stat()
    assert (found.st_mode & 0o7777, found.st_mtime) == (0o640, moment.timestamp())


def test_what_will_be_private_is_private_from_the_start(storage: SFTPStorage, folder: Path) -> None:
    upload = storage.begin_upload(UploadSpec("file", SIZE, permissions=0o600))
    upload.send(0, content_of(PART), _ignore)

    assert _part_file(folder).stat().st_mode & 0o7777 == 0o600
    upload.discard()


def test_the_servers_program_answers_line_by_line(tmp_path: Path) -> None:
    content = content_of(3 * MIB + 5)
    (tmp_path / "file").write_bytes(content)
    path = str(tmp_path / "file").encode().hex()
    lines = [f"{path} 0 -1 0", f"{path} {MIB} {MIB} 1", f"{path} {MIB} {9 * MIB} 0", "2f6e6f 0 -1 1", "mark"]

    program = [sys.executable, "-I", "-S", "-c", shell._PYTHON.replace("{mark}", "m")]
    done = subprocess.run(program, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)

    expected = [f"{zlib.crc32(content):08x}", f"{zlib.crc32(content[MIB : 2 * MIB]):08x}", "-", "-", "mark"]
    assert done.stdout.split() == ["crc32", "m-", *expected]


# -- faults --------------------------------------------------------------------------------------------------------------


def test_a_part_goes_on_over_a_new_connection_after_a_cut(sshd_server: SshdAddress, folder: Path) -> None:
    content = content_of(SIZE)
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        upload = storage.begin_upload(UploadSpec("file", SIZE))
        _send(upload, content, (0,))
        proxy.faults.cut_up_after = 10 * MIB
        proxy.faults.cuts_left = 1

        with pytest.raises(ConnectionLost) as lost:
            upload.send(1, content[PART : 2 * PART], _ignore)
        _send(upload, content, (1, 2))
        upload.commit()

    assert lost.value.retryable
    assert digest((folder / "file").read_bytes()) == digest(content)
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.parametrize("is_done", [True, False], ids=["after it was done", "before it was done"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_commit_whose_answer_is_lost_can_be_tried_again(
    sshd_server: SshdAddress, folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_done: bool, overwrite: bool
) -> None:
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port), root=str(folder)) as storage:
        upload = storage.begin_upload(UploadSpec("file", 3, overwrite=overwrite))
        upload.send(0, b"abc", _ignore)
        break_at_rename(monkeypatch, proxy, is_done=is_done, is_openssh=False)

        with pytest.raises(ConnectionLost):
            upload.commit()
        for _try in range(3):  # other sessions may only now be found to be lost
            with suppress(ConnectionLost):
                upload.commit()

        assert (folder / "file").read_bytes() == b"abc"
        assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_server_that_falls_silent_is_given_up(sshd_server: SshdAddress, folder: Path) -> None:
    content = content_of(SIZE)
    with (
        FaultyProxy(sshd_server.port) as proxy,
        opened(sshd_server.at(proxy.port), root=str(folder), timeout_s=1.0) as storage,
    ):
        upload = storage.begin_upload(UploadSpec("file", SIZE))
        _send(upload, content, (0,))
        proxy.faults.stalled = True

        with pytest.raises(ConnectionLost) as lost:
            _send(upload, content, (1,))
        proxy.faults.stalled = False
        _send(upload, content, (1, 2))
        upload.commit()

    assert lost.value.retryable
    assert digest((folder / "file").read_bytes()) == digest(content)


def test_content_comes_whole_over_a_renewed_encryption(
    storage: SFTPStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed: list[int] = []
    real: Callable[[GatheringPacketizer], None] = GatheringPacketizer._trigger_rekey  # type: ignore[attr-defined]

    def trigger(own: GatheringPacketizer) -> None:
        renewed.append(1)
        real(own)

    monkeypatch.setattr(GatheringPacketizer, "REKEY_BYTES", 2 * MIB)
    monkeypatch.setattr(GatheringPacketizer, "_trigger_rekey", trigger)
    content = content_of(SIZE)

    _put(storage, content)

    assert len(renewed) > 2
    assert digest((folder / "file").read_bytes()) == digest(content)


def test_other_encryptions_carry_the_same_content(folder: Path) -> None:
    content = content_of(SIZE)
    with Sshd(options=("Ciphers aes256-ctr",)) as server, opened(server.start(), root=str(folder)) as storage:
        _put(storage, content)

    assert digest((folder / "file").read_bytes()) == digest(content)


# -- links ---------------------------------------------------------------------------------------------------------------


def test_links_are_made_as_they_are_told(storage: SFTPStorage, folder: Path) -> None:
    for place, target in enumerate(["some where/else", "/absolute", "..", "é\udcff"]):
        storage.make_link(f"link {place}", target)
        assert str((folder / f"link {place}").readlink()) == target


def test_a_link_does_not_take_a_taken_name(storage: SFTPStorage, folder: Path) -> None:
    (folder / "file").write_bytes(b"x")

    with pytest.raises(AlreadyExists):
        storage.make_link("file", "target")
    with pytest.raises(InvalidName):
        storage.make_link("link", "")
    assert (folder / "file").read_bytes() == b"x"
