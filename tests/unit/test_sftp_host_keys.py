"""known_hosts lines as sshd(8) has them."""

from __future__ import annotations

import base64
from pathlib import Path

import paramiko
import pytest

from kegbrowser.backends.errors import HostKeyChanged, UnknownHostKey
from kegbrowser.backends.sftp import host_keys

KEY = paramiko.ECDSAKey.generate()
OTHER = paramiko.ECDSAKey.generate()
BLOB = f"{KEY.get_name()} {KEY.get_base64()}"


def _check(lines: tuple[str, ...], host: str = "example.org", port: int = 22) -> None:
    host_keys.check(host_keys.known_keys((), lines, host, port), host, port, KEY)


@pytest.mark.parametrize(
    ("names", "host", "port"),
    [
        ("example.org", "example.org", 22),
        ("EXAMPLE.org", "Example.ORG", 22),
        ("other,example.org", "example.org", 22),
        ("*.example.org", "a.example.org", 22),
        ("h?st", "host", 22),
        ("*", "anything", 22),
        ("[example.org]:2222", "example.org", 2222),
        ("[*.example.org]:2222", "a.example.org", 2222),
        ("192.168.0.*", "192.168.0.7", 22),
        ("::1", "::1", 22),
        ("[::1]:2222", "::1", 2222),
        ("*.org,!bad.org", "good.org", 22),
    ],
)
def test_a_line_is_about_the_hosts_it_names(names: str, host: str, port: int) -> None:
    _check((f"{names} {BLOB} and a comment",), host, port)


@pytest.mark.parametrize(
    ("names", "host", "port"),
    [
        ("example.org", "example.org", 2222),
        ("[example.org]:2222", "example.org", 22),
        ("example.org", "sub.example.org", 22),
        ("*.example.org", "example.org", 22),
        ("*.org,!bad.org", "bad.org", 22),
        ("exampleXorg", "example.org", 22),
        ("[a-z]ost", "host", 22),
        ("|1|damaged", "example.org", 22),
        ("|1|????|????", "example.org", 22),
    ],
)
def test_a_line_is_about_no_other_host(names: str, host: str, port: int) -> None:
    with pytest.raises(UnknownHostKey) as refusal:
        _check((f"{names} {BLOB}",), host, port)
    assert type(refusal.value) is UnknownHostKey


@pytest.mark.parametrize(
    "line", ["", "#", "# example.org x y", "example.org", "example.org ssh-rsa", "a b c", "@x a b c"]
)
def test_lines_of_no_use_are_passed_over(line: str) -> None:
    _check((line, f"example.org {BLOB}"))


def test_damaged_keys_are_no_keys() -> None:
    with pytest.raises(UnknownHostKey):
        _check((f"example.org {KEY.get_name()} not-base64!",))


def test_one_of_several_keys_is_enough() -> None:
    _check((f"example.org {OTHER.get_name()} {OTHER.get_base64()}", f"example.org {BLOB}"))


def test_another_key_is_a_changed_one() -> None:
    with pytest.raises(HostKeyChanged, match=r"example\.org"):
        _check((f"example.org {OTHER.get_name()} {OTHER.get_base64()}",))


def test_a_revoked_key_is_never_taken() -> None:
    with pytest.raises(HostKeyChanged, match="revoked"):
        _check((f"@revoked * {BLOB}", f"example.org {BLOB}"))


def test_authorities_are_no_host_keys() -> None:
    with pytest.raises(UnknownHostKey) as refusal:
        _check((f"@cert-authority *.org {BLOB}",))
    assert type(refusal.value) is UnknownHostKey


def test_files_are_read_and_missing_ones_passed_over(tmp_path: Path) -> None:
    (tmp_path / "known").write_bytes(b"\xff\xfe bad bytes\r\n" + f"example.org {BLOB}\r\n".encode())

    known = host_keys.known_keys((str(tmp_path / "missing"), str(tmp_path / "known")), (), "example.org", 22)

    assert [base64.b64encode(one.key).decode() for one in known] == [KEY.get_base64()]


def test_the_kinds_that_are_known_are_asked_for() -> None:
    rsa = "example.org ssh-rsa AAAA"

    known = host_keys.known_keys((), (rsa, f"@revoked example.org {BLOB}"), "example.org", 22)

    assert host_keys.kinds_of(known) == ["ssh-rsa", "rsa-sha2-512", "rsa-sha2-256"]
