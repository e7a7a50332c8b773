"""Whatever goes wrong is told in one sentence with the name of the thing, as the right error, without a secret."""

from __future__ import annotations

import logging
import pickle
import re
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
from azure.storage.blob import BlobServiceClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kegbrowser.backends.azure import AzureReader, AzureStorage
from kegbrowser.backends.base import FileMode
from kegbrowser.backends.errors import (
    AlreadyExists,
    AuthenticationFailed,
    CheckFailed,
    ClockSkewed,
    ConnectionLost,
    CredentialsExpired,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    InvalidOptions,
    NotSupported,
    PermissionDenied,
    QuotaExceeded,
    ServerFault,
    SourceChanged,
    StorageError,
    Throttled,
)
from tests.integration.azure_places import (
    Asked,
    Box,
    Told,
    new_box,
    put,
    refusal,
    scripted_server,
    scripted_storage,
    storage_at,
)
from tests.servers.azurite import ACCOUNT, KEY, AzureAddress

ANSWERS: list[tuple[int, str, type[StorageError], bool, str]] = [
    (404, "BlobNotFound", FileNotFoundInStorageError, False, "no such file"),
    (404, "ContainerNotFound", FileNotFoundInStorageError, False, "no container “box”"),
    (404, "", FileNotFoundInStorageError, False, "no such file"),
    (409, "ContainerBeingDeleted", FileNotFoundInStorageError, False, "“box” is being deleted"),
    (403, "AuthenticationFailed", AuthenticationFailed, False, "refused the account's key"),
    (403, "AuthorizationFailure", PermissionDenied, False, "may not"),
    (403, "AuthorizationPermissionMismatch", PermissionDenied, False, "may not"),
    (403, "AuthorizationProtocolMismatch", PermissionDenied, False, "https"),
    (403, "AccountIsDisabled", PermissionDenied, False, "disabled"),
    (409, "PublicAccessNotPermitted", PermissionDenied, False, "signing in"),
    (409, "BlobImmutableDueToPolicy", PermissionDenied, False, "policy"),
    (409, "BlobArchived", PermissionDenied, False, "archive"),
    (412, "LeaseIdMissing", PermissionDenied, False, "lease"),
    (412, "ConditionNotMet", SourceChanged, True, "changed"),
    (409, "DirectoryIsNotEmpty", FolderNotEmpty, False, "not empty"),
    (409, "InvalidBlobType", NotSupported, False, "another type"),
    (400, "InvalidResourceName", InvalidName, False, "this name"),
    (400, "Md5Mismatch", CheckFailed, True, "not what was sent"),
    (413, "RequestBodyTooLarge", QuotaExceeded, False, "too large"),
    (409, "AccountLimitExceeded", QuotaExceeded, False, "full"),
    (503, "ServerBusy", Throttled, True, "busy"),
    (500, "OperationTimedOut", Throttled, True, "too long"),
    (429, "TooManyRequests", Throttled, True, "busy"),
    (500, "InternalError", ServerFault, True, "failed"),
    (502, "", ServerFault, True, "failed"),
    (507, "", QuotaExceeded, False, "no space"),
    (409, "SomethingNew", ServerFault, False, "409 SomethingNew"),
    (400, "InvalidHeaderValue", ServerFault, False, "400 InvalidHeaderValue"),
]

CALLS: dict[str, Callable[[AzureStorage], object]] = {
    "list": lambda storage: storage.list("folder"),
    "stat": lambda storage: storage.stat("folder/file"),
    "open": lambda storage: storage.open("folder/file", "rb"),
    "save": lambda storage: put(storage, "folder/file"),
    "delete": lambda storage: storage.delete("folder/file"),
    "copy": lambda storage: storage.copy("folder/file", "new"),
    "check": lambda storage: storage.check(),
}


@pytest.fixture
def box(azure_server: AzureAddress) -> Iterator[Box]:
    with new_box(azure_server) as made:
        yield made


# -- what the service answers


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("status", "code", "kind", "is_retryable", "words"), ANSWERS)
def test_each_answer_is_the_right_error_in_a_sentence(
    status: int, code: str, kind: type[StorageError], is_retryable: bool, words: str, call: str
) -> None:
    with (
        scripted_server(lambda _asked: refusal(status, code, "Message of the service")) as server,
        scripted_storage(server) as storage,
    ):
        with pytest.raises(StorageError) as caught:
            CALLS[call](storage)
        assert len(server.asked) == 1, "tried again behind our back"

    error = caught.value
    if call == "copy" and code == "ConditionNotMet":
        kind, is_retryable, words = AlreadyExists, False, "exists already"
    assert (type(error), error.retryable) == (kind, is_retryable)
    assert re.search(words, error.message)
    assert error.message.endswith(".")
    assert "Message of the service" not in error.message
    if kind is not AuthenticationFailed:
        assert "“box”" in error.message
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.retryable) == (kind, error.message, is_retryable)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"{}", b"<Error><Code></Code></Error>"])
def test_a_refusal_without_words_is_told_by_its_number(body: bytes, call: str) -> None:
    with scripted_server(lambda _asked: Told(503, body)) as server, scripted_storage(server) as storage:
        with pytest.raises(Throttled, match="busy"):
            CALLS[call](storage)


@pytest.mark.parametrize("call", CALLS)
def test_a_refusal_that_is_no_text_is_an_error_to_try_again(call: str) -> None:
    with scripted_server(lambda _asked: Told(503, b"\xff\x00")) as server, scripted_storage(server) as storage:
        with pytest.raises((Throttled, ServerFault)) as caught:
            CALLS[call](storage)
    assert caught.value.retryable


@pytest.mark.parametrize("call", sorted(CALLS.keys() - {"stat"}))  # an answer to HEAD has no body
def test_a_refusal_with_a_code_and_no_message_is_understood(call: str) -> None:
    told = Told(403, b"<?xml version='1.0'?><Error><Code>AccountIsDisabled</Code><Message/></Error>")
    with scripted_server(lambda _asked: told) as server, scripted_storage(server) as storage:
        with pytest.raises(PermissionDenied, match="disabled"):
            CALLS[call](storage)


def test_the_server_s_own_wait_is_kept() -> None:
    told = refusal(503, "ServerBusy", **{"Retry-After": "7"})
    with scripted_server(lambda _asked: told) as server, scripted_storage(server) as storage:
        for call in CALLS.values():
            with pytest.raises(Throttled) as caught:
                call(storage)
            assert caught.value.retry_after_s == 7


def test_what_cannot_be_found_is_called_by_its_name(azure_server: AzureAddress, box: Box) -> None:
    with storage_at(azure_server, box.name) as storage:
        with pytest.raises(FileNotFoundInStorageError) as caught:
            storage.open("holiday/photo.jpg", "rb")
    assert caught.value.message == f"Could not open “photo.jpg” in the container “{box.name}”: there is no such file."
    assert caught.value.path == "holiday/photo.jpg"
    with storage_at(azure_server, None) as root:
        with pytest.raises(FileNotFoundInStorageError) as caught:
            root.open(f"{box.name}/photo.jpg", "rb")
    assert caught.value.path == f"{box.name}/photo.jpg"
    assert f"“photo.jpg” in the container “{box.name}”" in caught.value.message


# -- credentials


def test_a_wrong_key_is_an_authentication_that_failed(azure_server: AzureAddress, box: Box) -> None:
    with storage_at(azure_server, box.name, key="d3Jvbmcga2V5IHRoYXQgaXMgbG9uZyBlbm91Z2g=") as storage:
        for call in CALLS.values():
            with pytest.raises(AuthenticationFailed, match=r"127\.0\.0\.1:\d+ refused the account's key\."):
                call(storage)


@pytest.mark.parametrize("key", ["not base64!", "abc", "päss", KEY[:-1]])
def test_what_is_no_key_is_known_without_connecting(key: str) -> None:
    with pytest.raises(InvalidOptions, match="key is not a key") as caught:
        AzureStorage("account", key, "box")
    assert key not in _all_that_is_said(caught.value)
    with pytest.raises(InvalidOptions, match="key is not a key"):
        AzureStorage(None, None, "box", connection_string=f"AccountName=account;AccountKey={key};EndpointSuffix=x.y")


def test_a_key_may_be_pasted_with_its_line_breaks(azure_server: AzureAddress, box: Box) -> None:
    with storage_at(azure_server, box.name, key=f"  {KEY[:40]}\n{KEY[40:]}\n") as storage:
        assert storage.list("") == []


def test_an_expired_signature_is_told_with_its_time(azure_server: AzureAddress, box: Box) -> None:
    end = datetime.now(UTC) - timedelta(seconds=60)
    sas = azure_server.sas("rwdl", valid_s=-60)
    several: list[dict[str, Any]] = [
        {"sas_token": sas},
        {"sas_token": f"?{sas}"},
        {"connection_string": _connection_string(azure_server, sas)},
    ]
    for more in several:
        with storage_at(azure_server, box.name, **more) as storage:
            for call in CALLS.values():
                with pytest.raises(CredentialsExpired, match=f"expired at {end:%Y-%m-%d}") as caught:
                    call(storage)
                assert not caught.value.retryable


def test_a_signature_grants_what_it_says_and_no_more(azure_server: AzureAddress, box: Box) -> None:
    box.put("folder/file", b"content")
    with storage_at(azure_server, box.name, sas_token=azure_server.sas("rl")) as reading:
        assert [entry.name for entry in reading.list("folder")] == ["file"]
        with reading.open("folder/file", "rb") as file:
            assert file.read(-1) == b"content"
        changes: list[Callable[[], object]] = [
            lambda: put(reading, "new"),
            lambda: reading.delete("folder/file"),
            lambda: reading.rename("folder/file", "new"),
            lambda: reading.make_folder("new"),
        ]
        for change in changes:
            with pytest.raises(PermissionDenied, match="may not"):
                change()
    with storage_at(azure_server, box.name, sas_token=azure_server.sas("r")) as knowing_names:
        with pytest.raises(PermissionDenied, match="may not list it"):
            knowing_names.list("")
        with pytest.raises(PermissionDenied):
            knowing_names.check()
        assert knowing_names.stat("folder/file").size == 7
    assert box.names() == ["folder/file"]


def test_a_spoiled_signature_is_refused_as_a_signature(azure_server: AzureAddress, box: Box) -> None:
    spoiled = re.sub("sig=[^&]*", "sig=" + quote("A" * 43 + "=", safe=""), azure_server.sas("rl"))
    with storage_at(azure_server, box.name, sas_token=spoiled) as storage:
        with pytest.raises(AuthenticationFailed, match="refused the shared access signature"):
            storage.list("")


def test_nobody_may_do_what_needs_an_account(azure_server: AzureAddress, box: Box) -> None:
    box.put("file")
    with storage_at(azure_server, box.name, key=None) as storage:
        with pytest.raises(PermissionDenied, match="one must sign in"):
            storage.list("")
    box.client.set_container_access_policy({}, public_access="container")
    with storage_at(azure_server, box.name, key=None) as storage:
        assert [entry.name for entry in storage.list("")] == ["file"]
        with storage.open("file", "rb") as file:
            assert file.read(-1) == b"x"
        with pytest.raises(PermissionDenied):
            storage.delete("file")


def _always(told: Told, _asked: Asked) -> Told:
    return told


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wrong_clock_is_told_from_a_wrong_key(hours: int) -> None:
    service_time = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    told = refusal(403, "AuthenticationFailed", "Server failed to authenticate the request.", Date=service_time)
    detail = (
        b"<Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request.</Message>"
        b"<AuthenticationErrorDetail>Request date header too old: 'Mon, 23 Nov 2026'</AuthenticationErrorDetail></Error>"
    )
    without_detail = {"stat"}  # an answer to HEAD has no body
    for answer, calls in (
        (told, CALLS.keys()),
        (Told(403, detail, {"x-ms-error-code": "AuthenticationFailed"}), CALLS.keys() - without_detail),
    ):
        with scripted_server(partial(_always, answer)) as server, scripted_storage(server) as storage:
            for call in calls:
                with pytest.raises(ClockSkewed, match="clock"):
                    CALLS[call](storage)


# -- options


def _connection_string(address: AzureAddress, sas: str) -> str:
    return f"BlobEndpoint={address.endpoint};SharedAccessSignature={sas}"


def test_a_connection_string_is_all_that_is_needed(azure_server: AzureAddress, box: Box) -> None:
    box.put("file")
    for text in (
        azure_server.connection_string,
        f"\n {azure_server.connection_string} \n",
        _connection_string(azure_server, azure_server.sas("rl")),
    ):
        storage = AzureStorage(None, None, box.name, connection_string=text)
        assert [entry.name for entry in storage.list("")] == ["file"]
        storage.shutdown()


@pytest.mark.parametrize(
    "text",
    [
        "my-secret",
        "AccountName=a;AccountKey",
        "AccountKey=secret12",
        "=;=",
        "AccountName=a;;AccountKey=c2VjcmV0;x",
    ],
)
def test_a_malformed_connection_string_is_told_without_showing_it(text: str) -> None:
    with pytest.raises(InvalidOptions, match=r"connection string is malformed|account key is not a key") as caught:
        AzureStorage(None, None, "box", connection_string=text)
    assert "secret" not in _all_that_is_said(caught.value)
    assert "c2Vj" not in _all_that_is_said(caught.value)


def test_an_account_is_needed() -> None:
    with pytest.raises(InvalidOptions, match="“Account” is missing"):
        AzureStorage(None, "a2V5", "box")


@pytest.mark.parametrize(
    "endpoint", ["http://[::1", "http://a b c", "http://host:port", "http://", "ftp://host", "https://"]
)
def test_an_endpoint_that_is_no_address_is_told_and_not_tried_again(endpoint: str) -> None:
    with pytest.raises((InvalidOptions, ConnectionLost)) as caught:
        AzureStorage("account", KEY, "box", endpoint=endpoint).list("")
    assert type(caught.value) is InvalidOptions or "not found" in caught.value.message
    assert KEY not in _all_that_is_said(caught.value)


def test_a_signature_in_the_endpoint_is_refused_because_an_endpoint_is_written_down() -> None:
    endpoint = "https://account.blob.core.windows.net/?sv=1&sig=hidden"
    with pytest.raises(InvalidOptions, match="holds a shared access signature") as caught:
        AzureStorage("account", None, "box", endpoint=endpoint)
    assert "hidden" not in _all_that_is_said(caught.value)


@pytest.mark.parametrize(
    "account", ["https://account.blob.core.windows.net", "my account", "UPPER", "a", "a/b", "x" * 25]
)
def test_what_is_no_account_is_told_without_connecting(account: str) -> None:
    with pytest.raises(InvalidOptions, match="account's name is none"):
        AzureStorage(account, KEY, "box")


def test_a_signature_may_be_pasted_with_its_address(azure_server: AzureAddress, box: Box) -> None:
    sas = azure_server.sas("rl")
    for text in (f"?{sas}", f" {sas[:50]}\n{sas[50:]} ", f"{azure_server.endpoint}/{box.name}?{sas}"):
        with storage_at(azure_server, box.name, sas_token=text) as storage:
            assert storage.list("") == []


def test_who_may_not_list_the_containers_is_told_to_name_one() -> None:
    with (
        scripted_server(lambda _asked: refusal(403, "AuthorizationPermissionMismatch", "no")) as server,
        scripted_storage(server, None) as storage,
        pytest.raises(PermissionDenied, match="the containers") as caught,
    ):
        storage.check()
    assert "Name a container" in caught.value.hint


# -- the network


def test_the_proxy_of_the_environment_is_used_and_names_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = (
        b"<EnumerationResults><Blobs><Blob><Name>a/../b</Name><Properties><Etag>1</Etag></Properties></Blob></Blobs>"
    )
    told = {"comp=list": Told(200, listed + b"<NextMarker/></EnumerationResults>")}

    def answer(asked: Asked) -> Told:
        return next((told[words] for words in told if words in asked.path), Told(200, b"x", {"ETag": '"1"'}))

    with scripted_server(answer) as proxy, monkeypatch.context() as patched:
        patched.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        patched.delenv("NO_PROXY", raising=False)
        patched.delenv("no_proxy", raising=False)
        storage = AzureStorage(ACCOUNT, KEY, "box", endpoint="http://azure.example/account")
        with storage.open("a/../b", "rb") as file:
            assert file.read(-1) == b"x"
        storage.shutdown()

    assert [asked.path.partition("?")[0] for asked in proxy.asked] == [
        "http://azure.example/account/box",
        "http://azure.example/account/box/a/%2E%2E/b",
    ]


def test_a_proxy_that_is_not_there_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("HTTP_PROXY", f"http://127.0.0.1:{_free_port()}")
        patched.setenv("NO_PROXY", "")
        patched.setenv("no_proxy", "")
        storage = AzureStorage(ACCOUNT, KEY, "box", endpoint="http://azure.example/account")
        with pytest.raises(ConnectionLost, match=r"proxy before azure\.example") as caught:
            storage.list("")
    assert caught.value.retryable


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_server_that_is_not_there_is_named_with_its_port() -> None:
    port = _free_port()
    storage = AzureStorage(ACCOUNT, KEY, "box", endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}")

    with pytest.raises(ConnectionLost, match=rf"127\.0\.0\.1:{port} refused the connection") as caught:
        storage.list("")

    assert caught.value.retryable


def test_a_host_that_is_unknown_is_named() -> None:
    storage = AzureStorage("no-such-account", KEY, "box", endpoint="http://no-such-host.invalid/x")

    with pytest.raises(ConnectionLost, match=r"no-such-host\.invalid was not found") as caught:
        storage.list("")

    assert caught.value.retryable


def test_https_to_a_server_without_it_is_told(azure_server: AzureAddress) -> None:
    storage = AzureStorage(ACCOUNT, KEY, "box", endpoint=azure_server.endpoint.replace("http:", "https:"))

    with pytest.raises(ConnectionLost, match="No secure connection") as caught:
        storage.list("")

    assert "http://" in caught.value.hint


def test_a_server_that_hangs_up_is_a_lost_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            for _connection in range(len(CALLS)):
                listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        storage = AzureStorage(ACCOUNT, KEY, "box", endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}")
        for call in CALLS.values():
            with pytest.raises(ConnectionLost, match=rf"127\.0\.0\.1:{port}"):
                call(storage)
        thread.join()
        storage.shutdown()


@contextmanager
def _tls_server(folder: Path, answer: Told) -> Iterator[tuple[str, Path]]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, folder / "key.pem")
    with scripted_server(lambda _asked: answer, tls=context) as server:
        yield f"https://127.0.0.1:{server.port}/{ACCOUNT}", pem


def test_a_certificate_is_checked_unless_it_is_known_or_switched_off(tmp_path: Path) -> None:
    listing = b"<EnumerationResults><Blobs></Blobs><NextMarker/></EnumerationResults>"
    with _tls_server(tmp_path, Told(200, listing)) as (endpoint, certificate):
        storage = AzureStorage(ACCOUNT, KEY, "box", endpoint=endpoint)
        with pytest.raises(ConnectionLost, match="certificate of 127") as caught:
            storage.list("")
        assert not caught.value.retryable
        storage.shutdown()
        options: list[dict[str, Any]] = [{"ca_bundle": str(certificate)}, {"verify_tls": False}]
        for trust in options:
            trusting = AzureStorage(ACCOUNT, KEY, "box", endpoint=endpoint, **trust)
            assert trusting.list("") == []
            trusting.shutdown()


def test_a_netrc_file_does_not_replace_the_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, azure_server: AzureAddress, box: Box
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    with monkeypatch.context() as patched:
        patched.setenv("NETRC", str(netrc))
        with storage_at(azure_server, box.name) as storage:
            assert storage.list("") == []
            put(storage, "file")

    assert box.names() == ["file"]


# -- secrets


def _all_that_is_said(error: BaseException) -> str:
    """The error with all that a log or a traceback would show of it."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error) + getattr(error, "hint", "")


def test_no_secret_is_ever_shown(azure_server: AzureAddress, box: Box, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sas = azure_server.sas("rl")
    signature = parse_qs(sas)["sig"][0]
    hidden = (KEY, signature, quote(signature, safe=""), quote(signature))
    port = _free_port()
    storages = [
        AzureStorage(ACCOUNT, None, box.name, endpoint=azure_server.endpoint, sas_token=sas),
        AzureStorage(ACCOUNT, None, box.name, endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}", sas_token=sas),
        AzureStorage(ACCOUNT, None, box.name, endpoint=f"http://no-such-host.invalid/{ACCOUNT}", sas_token=sas),
        AzureStorage(ACCOUNT, KEY, box.name, endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}"),
        AzureStorage(ACCOUNT, KEY, "missing", endpoint=azure_server.endpoint),
        AzureStorage(
            None,
            None,
            box.name,
            connection_string=azure_server.connection_string.replace(f":{azure_server.port}", f":{port}"),
        ),
    ]
    said = [repr(storage) + repr(vars(storage)) + repr(vars(storage._connection)) for storage in storages]
    calls: list[Callable[[AzureStorage], object]] = [*CALLS.values(), lambda one: list(one.delete_files(["a", "b"]))]
    for storage in storages:
        for call in calls:
            try:
                call(storage)
            except StorageError as error:
                said.append(_all_that_is_said(error))
        storage.shutdown()

    text = "\n".join([*said, caplog.text])
    assert len(said) > 20
    assert [secret for secret in hidden if secret in text] == []


def test_a_plain_client_s_signature_is_not_shown_either(azure_server: AzureAddress) -> None:
    sas = azure_server.sas("rl")
    port = _free_port()
    endpoint = azure_server.endpoint.replace(f":{azure_server.port}", f":{port}")
    with BlobServiceClient(endpoint, credential=sas, retry_total=0) as service:
        with pytest.raises(ConnectionLost) as caught:
            AzureReader("box", "file", FileMode.read, service)
    assert "sig=" not in _all_that_is_said(caught.value)


def test_odd_headers_do_not_bring_the_signature_into_the_log(
    azure_server: AzureAddress, caplog: pytest.LogCaptureFixture
) -> None:
    sas = azure_server.sas("rl")
    caplog.set_level(logging.DEBUG)
    listing = b"<EnumerationResults><Blobs></Blobs><NextMarker/></EnumerationResults>"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nno colon here\r\n\r\n" % len(listing) + listing
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection = listener.accept()[0]
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}/{ACCOUNT}"
        storage = AzureStorage(ACCOUNT, None, "box", endpoint=endpoint, sas_token=sas)
        assert storage.list("") == []
        thread.join()
        storage.shutdown()
    assert "sig=" not in caplog.text
