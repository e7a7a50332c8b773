"""Whatever goes wrong is told in one sentence with the name of the thing, as the right error, without a secret."""

from __future__ import annotations

import logging
import pickle
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kegbrowser.backends.batches import ReadRequest, WriteRequest
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
    StorageError,
    Throttled,
)
from kegbrowser.backends.s3 import S3Storage
from tests.doubles.exact_s3 import ExactS3, Stored
from tests.integration.s3_places import SECRET, exact_server, exact_storage, put, storage_at
from tests.servers.seaweed import Identity, S3Address

ANSWERS: list[tuple[int, str, type[StorageError], bool, str]] = [
    (403, "AccessDenied", PermissionDenied, False, "may not read"),
    (403, "SignatureDoesNotMatch", AuthenticationFailed, False, "secret access key"),
    (403, "InvalidAccessKeyId", AuthenticationFailed, False, "access key ID"),
    (400, "ExpiredToken", CredentialsExpired, False, "expired"),
    (400, "InvalidToken", AuthenticationFailed, False, "session token"),
    (403, "RequestTimeTooSkewed", ClockSkewed, False, "clock"),
    (404, "NoSuchBucket", FileNotFoundInStorageError, False, "no bucket “box”"),
    (404, "NoSuchKey", FileNotFoundInStorageError, False, "no such file"),
    (503, "SlowDown", Throttled, True, "busy"),
    (503, "ServiceUnavailable", Throttled, True, "busy"),
    (429, "TooManyRequests", Throttled, True, "busy"),
    (500, "InternalError", ServerFault, True, "failed"),
    (502, "", ServerFault, True, "failed"),
    (400, "EntityTooLarge", NotSupported, False, "large"),
    (507, "InsufficientStorage", QuotaExceeded, False, "no space"),
    (400, "KeyTooLongError", InvalidName, False, "name"),
    (400, "AuthorizationHeaderMalformed", InvalidOptions, False, "region"),
    (403, "InvalidObjectState", PermissionDenied, False, "archive"),
    (409, "OperationAborted", ServerFault, True, "somebody else"),
    (418, "Teapot", StorageError, False, "Teapot"),
]


@pytest.fixture
def server() -> Iterator[ExactS3]:
    with exact_server("box") as running:
        running.buckets["box"]["folder/photo.jpg"] = Stored(b"content")
        yield running


@pytest.fixture
def storage(server: ExactS3) -> Iterator[S3Storage]:
    with exact_storage(server) as opened:
        yield opened


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable", "words"), ANSWERS, ids=[f"{status}-{code}" for status, code, *_ in ANSWERS]
)
def test_each_answer_becomes_its_error(
    server: ExactS3, storage: S3Storage, status: int, code: str, kind: type[StorageError], retryable: bool, words: str
) -> None:
    server.fail("GET", status, code, times=2)  # a wrong region is asked for twice: by us, and by way of the SDK

    with pytest.raises(kind) as failed:
        storage.open("folder/photo.jpg", "rb")

    error = failed.value
    assert type(error) is kind
    assert error.retryable is retryable
    assert words in error.message
    assert ("photo.jpg" in error.message) or (code == "NoSuchBucket")
    assert error.message.endswith(".")
    assert error.path == "folder/photo.jpg"
    assert error.__cause__ is not None
    assert SECRET not in f"{error!r} {error.__cause__!r} {error.hint}"
    assert str(pickle.loads(pickle.dumps(error))) == error.message


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("GET", lambda storage: storage.list("folder")),
        ("HEAD", lambda storage: storage.stat("folder/photo.jpg")),
        ("PUT", lambda storage: put(storage, "new")),
        ("POST", lambda storage: put(storage, "new", b"x" * 9 * 1024 * 1024)),
        ("DELETE", lambda storage: storage.delete("folder/photo.jpg")),
        ("PUT", lambda storage: storage.copy("folder/photo.jpg", "copy")),
        ("PUT", lambda storage: storage.make_folder("new/")),
    ],
)
def test_every_call_tells_a_denial(
    server: ExactS3, storage: S3Storage, verb: str, call: Callable[[S3Storage], object]
) -> None:
    storage.list("")
    server.fail(verb, 403, "AccessDenied", times=5)

    with pytest.raises(PermissionDenied):
        call(storage)

    assert server.uploads == {}


def test_a_wait_that_the_server_names_is_passed_on(server: ExactS3, storage: S3Storage) -> None:
    server.fail("GET", 503, "SlowDown", Retry_After="7")

    with pytest.raises(Throttled) as failed:
        storage.open("folder/photo.jpg", "rb")

    assert failed.value.retry_after_s == 7.0


def test_the_right_region_is_named(server: ExactS3, storage: S3Storage) -> None:
    server.fail("GET", 400, "AuthorizationHeaderMalformed", extra="<Region>eu-west-3</Region>", times=9)

    with pytest.raises(InvalidOptions) as failed:
        storage.list("")

    assert "eu-west-3" in failed.value.hint


def test_a_region_that_the_server_corrects_is_used_from_then_on(server: ExactS3, storage: S3Storage) -> None:
    # It is told to us and to the SDK, which knows what to do; our requests then follow.
    server.fail("GET", 400, "AuthorizationHeaderMalformed", extra="<Region>eu-west-3</Region>", times=2)

    found = [entry.name for entry in storage.list("")]
    storage.list("")

    assert found == ["folder"]
    assert len(server.requests) == 4
    assert all("/eu-west-3/s3/" in headers["authorization"] for headers in server.seen_headers[2:])


def test_a_bucket_elsewhere_is_named_with_its_region(server: ExactS3, storage: S3Storage) -> None:
    server.fail("GET", 301, "PermanentRedirect", x_amz_bucket_region="ap-south-1", times=9)

    with pytest.raises(InvalidOptions) as failed:
        storage.list("")

    assert "ap-south-1" in failed.value.hint


def test_an_expired_token_is_told_apart_by_a_call_whose_answer_has_no_body(server: ExactS3, storage: S3Storage) -> None:
    server.fail("HEAD", 400, "ExpiredToken")
    server.fail("GET", 400, "ExpiredToken")

    with pytest.raises(CredentialsExpired):
        storage.stat("folder/photo.jpg")


def test_who_may_not_list_buckets_is_told_to_name_one(server: ExactS3) -> None:
    server.fail("GET", 403, "AccessDenied")

    with exact_storage(server, None) as storage, pytest.raises(PermissionDenied) as failed:
        storage.list("")

    assert "Name the bucket" in failed.value.hint


def test_a_busy_bucket_of_another_user_is_not_taken_over(server: ExactS3) -> None:
    server.fail("HEAD", 403, "AccessDenied")
    server.fail("PUT", 409, "BucketAlreadyExists")

    with exact_storage(server, None) as storage, pytest.raises(AlreadyExists, match="taken"):
        storage.make_folder("bucket")


def test_a_bucket_with_something_in_it_is_not_deleted(server: ExactS3) -> None:
    with exact_storage(server, None) as storage, pytest.raises(FolderNotEmpty, match="box"):
        storage.delete_folder("box")

    assert list(server.buckets["box"]) == ["folder/photo.jpg"]


def test_an_error_within_an_answer_of_success_is_an_error(server: ExactS3, storage: S3Storage) -> None:
    # CopyObject says 200 before it is done (S3 API reference, CopyObject).
    server.fail("PUT", 200, "SlowDown")

    with pytest.raises(StorageError):
        storage.copy("folder/photo.jpg", "copy")


def test_wrong_keys_are_told_apart_on_the_real_server(s3_server: S3Address) -> None:
    known = s3_server.admin.access_key
    cases = [(Identity(known, "wrong" + SECRET), "secret"), (Identity("NOSUCHKEY", "wrong" + SECRET), "ID")]
    for who, words in cases:
        storage = storage_at(s3_server, "any-bucket", who)

        for call in (lambda s: s.list(""), lambda s: s.stat("x"), lambda s: s.open("x", "rb"), lambda s: put(s, "x")):
            with pytest.raises(AuthenticationFailed, match=words) as failed:
                call(storage)
            assert "wrong" not in f"{failed.value!r}{failed.value.hint}"
        storage.shutdown()


def test_a_missing_bucket_is_not_made_by_writing_to_it(s3_server: S3Address) -> None:
    storage, root = storage_at(s3_server, "mistyped-bucket"), storage_at(s3_server, None)

    with pytest.raises(FileNotFoundInStorageError, match="mistyped-bucket"):
        storage.open("x", "wb")
    with pytest.raises(FileNotFoundInStorageError, match="mistyped-bucket"):
        storage.list("")

    assert "mistyped-bucket" not in {entry.name for entry in root.list("")}
    storage.shutdown()
    root.shutdown()


def test_an_address_where_nobody_listens_is_retryable_and_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    storage = S3Storage("box", "us-east-1", "AKID", SECRET, endpoint_url=f"http://127.0.0.1:{port}")

    with pytest.raises(ConnectionLost, match=f"127.0.0.1:{port} refuses") as failed:
        storage.list("")

    assert failed.value.retryable
    storage.shutdown()


def test_an_unknown_host_is_named() -> None:
    storage = S3Storage("box", "us-east-1", "AKID", SECRET, endpoint_url="https://no-such-host.invalid")

    with pytest.raises(ConnectionLost, match=r"no-such-host\.invalid") as failed:
        storage.list("")

    assert "spelling" in failed.value.hint
    storage.shutdown()


def test_a_server_that_says_nothing_is_a_lost_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        storage = S3Storage(
            "box",
            "us-east-1",
            "AKID",
            SECRET,
            endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            timeout_s=0.3,
        )

        with pytest.raises(ConnectionLost, match="does not answer"):
            storage.list("")
        storage.shutdown()


@pytest.mark.parametrize("page", [b"<html>hi</html>", b"hello", b"<html><br></html>"])
@pytest.mark.parametrize(
    "call",
    [
        lambda storage: storage.list(""),
        lambda storage: storage.stat("x"),
        lambda storage: storage.open("x", "rb"),
        lambda storage: put(storage, "x"),
        lambda storage: put(storage, "x", b"x" * 9 * 1024 * 1024),
        lambda storage: storage.copy("x", "y"),
        lambda storage: storage.check(),
    ],
    ids=["list", "stat", "read", "write", "write large", "copy", "check"],
)
def test_a_web_page_is_not_taken_for_an_answer_of_s3(call: Callable[[S3Storage], object], page: bytes) -> None:
    # The login page of a guest network answers whatever is asked, and always with success.
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(page), page)
    with _Answering(answer) as port:
        storage = S3Storage("box", "us-east-1", "AKID", SECRET, endpoint_url=f"http://127.0.0.1:{port}")
        with pytest.raises(StorageError):
            call(storage)
        storage.shutdown()


def test_tls_to_a_server_without_it_is_explained(server: ExactS3) -> None:
    with exact_storage(server, endpoint_url=f"https://127.0.0.1:{server.port}") as storage:
        with pytest.raises(ConnectionLost, match="does not speak TLS") as failed:
            storage.list("")

    assert not failed.value.retryable
    assert "http://" in failed.value.hint


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own making for 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = tmp_path_factory.mktemp("tls") / "both.pem"
    both.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return both


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[ExactS3]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with exact_server("box") as running:
        running.use_tls(context)
        yield running


def test_a_certificate_that_nobody_vouches_for_is_refused_and_explained(tls_server: ExactS3) -> None:
    with exact_storage(tls_server) as storage, pytest.raises(ConnectionLost, match="certificate") as failed:
        storage.list("")

    assert not failed.value.retryable
    assert "self-signed" in failed.value.message
    assert "certificate" in failed.value.hint


def test_a_certificate_is_trusted_by_its_file_or_unchecked_on_demand(tls_server: ExactS3, certificate: Path) -> None:
    for trust in ({"ca_bundle": str(certificate)}, {"verify_tls": False}):
        with exact_storage(tls_server, **trust) as storage:
            put(storage, "photo.jpg", b"over TLS" * 3_000_000)
            with storage.open("photo.jpg", "rb") as file:
                assert file.read(-1) == b"over TLS" * 3_000_000


def test_a_certificate_file_without_a_certificate_is_named(tls_server: ExactS3, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("this is no certificate")

    with (
        exact_storage(tls_server, ca_bundle=str(garbage)) as storage,
        pytest.raises(InvalidOptions, match="certificate"),
    ):
        storage.list("")


def test_neither_names_nor_secrets_are_logged_by_the_sdk(server: ExactS3, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    with exact_storage(server, aws_session_token="sessiontoken0123") as storage:
        put(storage, "folder/private.txt")
        storage.list("", recursive=True)

    assert SECRET not in caplog.text
    assert "sessiontoken0123" not in caplog.text
    assert "Signature" not in caplog.text
    assert SECRET not in repr(storage) + repr(vars(storage))


def test_data_damaged_on_its_way_up_is_refused_and_nothing_appears(server: ExactS3, storage: S3Storage) -> None:
    storage.list("")
    server.fail("PUT", 400, "BadDigest", times=2)

    with pytest.raises(CheckFailed, match="not what was sent") as failed:
        put(storage, "new")

    assert failed.value.retryable
    assert "new" not in server.buckets["box"]
    assert sum(method == "PUT" for method, _ in server.requests) == 1  # not sent again without its checksum


def test_missing_credentials_are_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    storage = S3Storage("box", "us-east-1", endpoint_url="http://127.0.0.1:9")
    done = threading.Event()

    def ask() -> None:
        with pytest.raises(AuthenticationFailed, match="no credentials") as failed:
            storage.list("")
        assert "anonymous" in failed.value.hint
        done.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert done.wait(2.0), "a machine role was asked for"
    thread.join()
    storage.shutdown()


def test_a_profile_is_used_and_a_missing_one_named(
    server: ExactS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[work]\naws_access_key_id = AKWORK\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    storage = S3Storage("box", "", aws_profile="work", endpoint_url=server.endpoint)
    storage.list("")
    storage.shutdown()
    with pytest.raises(InvalidOptions, match="“play”"):
        S3Storage("box", "", aws_profile="play", endpoint_url=server.endpoint)

    assert "Credential=AKWORK/" in server.seen_headers[-1]["authorization"]


def test_anonymous_access_sends_no_signature(server: ExactS3) -> None:
    storage = S3Storage("box", "us-east-1", anonymous=True, endpoint_url=server.endpoint)

    storage.list("")

    assert "authorization" not in server.seen_headers[-1]
    storage.shutdown()


class _Answering:
    """A server that gives every connection the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self._answer)


def test_content_of_any_size_goes_over_tls(tls_server: ExactS3, certificate: Path) -> None:
    large = bytes(range(256)) * 4096 * 9
    with exact_storage(tls_server, ca_bundle=str(certificate)) as storage:
        put(storage, "large", large)
        requests = [WriteRequest(number, f"small {number}", bytes(number * 5000)) for number in range(30)]
        written = list(storage.write_files(iter(requests), lambda: 8))
        got = list(storage.read_files(iter([ReadRequest(n, f"small {n}", n * 5000) for n in range(30)]), lambda: 8))
        with storage.open_reader("large", offset=100, length=5_000_000) as reader:
            part = reader.read(-1)

    assert tls_server.buckets["box"]["large"].content == large
    assert part == large[100:5_000_100]
    assert [result.error for result in written] == [None] * 30
    assert {result.key: result.content for result in got} == {number: bytes(number * 5000) for number in range(30)}


def test_a_certificate_that_nobody_vouches_for_stops_small_files_too(tls_server: ExactS3) -> None:
    with exact_storage(tls_server) as storage:
        results = list(storage.read_files(iter([ReadRequest(number, "x", 1) for number in range(3)]), lambda: 2))

    assert all(isinstance(result.error, ConnectionLost) for result in results)
    assert all("certificate" in str(result.error) for result in results)
