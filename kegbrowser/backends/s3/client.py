"""One endpoint's client, its sockets, and what was learned about the server."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import urllib3
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError

from kegbrowser import __version__
from kegbrowser.backends._sockets import SEND_BYTES, LiveSockets
from kegbrowser.backends.errors import AuthenticationFailed, Cancelled, InvalidName, ServerFault, StorageError
from kegbrowser.backends.s3.deeds import Deed, readable
from kegbrowser.backends.s3.lean import Lean
from kegbrowser.backends.s3.pages import ObjectPage
from kegbrowser.backends.s3.routes import Routes
from kegbrowser.backends.s3.sdk import client_config, sdk_session
from kegbrowser.backends.s3.settings import Settings
from kegbrowser.backends.s3.signing import Keys
from kegbrowser.backends.s3.translate import SDK_ERRORS, translate

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
CLEAN_UP_TIMEOUT_S = 3.0
"""How long one request may take that cleans up after an interrupt."""
CLEAN_UP_WAIT_S = 0.6
"""How long an interrupted caller waits for it; it goes on behind the caller's back."""


class S3Connection:
    """The client of one endpoint; made at its first use (that takes 0.1 s and reads files only). Any thread.

    Attributes:
        sockets: of all its requests.
        routes: where our own requests go, and what they go over.
        lean: sends them; None with a client that somebody else made, which is used as it is.
        user_agent: how the requests name us.
        sends_checksums: None until the server has taken or refused one.
        whole_checksums: whether uploads in parts are begun with a checksum of the whole; False once the server refused one.
        conditional_writes: whether If-None-Match is known to be honoured; None: not known.
        has_tried_conditions: whether it was tried to find that out.
        marks_are_md5: False once a mark that looked like an MD5 was none.
        deletes_batches: whether DeleteObjects works.
        folds_names: whether the server is known to take several keys for one (SeaweedFS: `a//b`, `/a/b`, `a\\b` and `a/b`).
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        self.settings = settings
        self.sockets = LiveSockets(stall_timeout_s=settings.timeout_s)
        self.sends_checksums: bool | None = None
        self.whole_checksums = True
        self.conditional_writes: bool | None = None
        self.has_tried_conditions = False
        self.marks_are_md5 = True
        self.deletes_batches = True
        self.folds_names = False
        self._client = client
        self._is_ours = client is None
        self._lock = threading.Lock()
        self._cleaner: Any = None
        self._cleaning = 0
        self._credentials: Any = None
        self._session = sdk_session(settings) if client is None else None
        self.user_agent = f"kegbrowser/{__version__}"
        self.routes = Routes(self, None if settings.anonymous else self._keys)
        self.lean = Lean(self) if client is None else None

    @classmethod
    def of(cls, client: Any) -> S3Connection:
        """Wrap a client that somebody else made and closes."""
        return cls(Settings(), client)

    @property
    def client(self) -> Any:
        """The client; ask for it inside `around`.

        Raises:
            AuthenticationFailed: there are no credentials.
            BotoCoreError, ValueError: the options do not make sense.
        """
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._make(self.sockets, CONNECT_TIMEOUT_S, self.settings.timeout_s)
        return self._client

    def get_object(self, **options: Any) -> dict[str, Any]:
        """GetObject; ask for it inside `around`."""
        client = self.client
        answer = self.lean.get_object(options) if self.lean is not None else None
        if answer is None:
            answer = client.get_object(**options)
        return answer

    def list_objects(self, deed: Deed, **options: Any) -> ObjectPage:
        """ListObjectsV2; ask for it inside `around`.

        Raises:
            ServerFault: something else answered, as of `expect`.
        """
        client = self.client
        page = self.lean.list_objects(options) if self.lean is not None else None
        if page is None:
            page = ObjectPage.from_answer(client.list_objects_v2(**options))
        if page.is_truncated is None:
            self.expect({}, "IsTruncated", deed)
        return page

    def put(
        self,
        operation: str,
        options: dict[str, Any],
        content: bytes | bytearray | memoryview,
        on_sent: Callable[[int], None] | None = None,
    ) -> dict[str, Any]:
        """PutObject or UploadPart; call it inside `around`. `on_sent` as in `PartedUpload.send`."""
        client = self.client
        answer = self.lean.put(operation, options, content, on_sent) if self.lean is not None else None
        if answer is not None:
            return answer
        for start in range(0, len(content) if on_sent is not None else 0, SEND_BYTES):
            if on_sent is not None:
                on_sent(min(SEND_BYTES, len(content) - start))
        # A bytearray, because the SDK makes files of bytes, sends them in small blocks, and asks before each (“Expect:
        # 100-continue”): a round trip more for every small file.
        body = content if isinstance(content, bytearray) else bytearray(content)
        send = client.put_object if operation == "PutObject" else client.upload_part
        sent: dict[str, Any] = send(Body=body, **options)
        return sent

    @staticmethod
    def now() -> float:
        """Seconds, for measuring spans."""
        return time.monotonic()

    @property
    def host(self) -> str:
        """`name:port` for messages; the port only if it is not the scheme's own."""
        url = self.settings.endpoint_url
        if not url and self._client is not None:
            url = self._client.meta.endpoint_url
        return urlsplit(url).netloc.rpartition("@")[2] or "Amazon S3"

    def refuse_folded(self, deed: Deed, *, slash_may_end: bool = True) -> None:
        """Keep a change from hitting another file than the named one, on a server that is known to fold names.

        `slash_may_end`: a key that ends in "/" is fine there, as a marker; content would be dropped.

        Raises:
            InvalidName: the server would take the key for another.
        """
        if self.folds_names and _folded(deed.key) != (deed.key.removesuffix("/") if slash_may_end else deed.key):
            reason = f"{self.host} would take the name for “{readable(_folded(deed.key))}”"
            raise InvalidName(deed.sentence(reason), path=deed.path)

    def expect(self, answer: dict[str, Any], name: str, deed: Deed) -> dict[str, Any]:
        """The answer, if it has what S3 always says: a web page in its place would look like an empty folder, or like success.

        Raises:
            ServerFault: something else answered, as the login page of a guest network.
        """
        if name in answer:
            return answer
        hint = "Check the address of the connection, and whether this network wants you to log in first."
        reason = f"{self.host} gave no answer of S3"
        raise ServerFault(deed.sentence(reason), path=deed.path, hint=hint, retryable=False)

    def around(self, deed: Deed) -> Border:
        """A context manager that translates what the SDK raises in it; raises `Cancelled` after an interrupt."""
        return Border(self, deed)

    def clean_up(self, deed: Deed, action: Callable[[Any], object]) -> None:
        """Do `action(client)`, also after an interrupt, and log instead of raising when it fails.

        After an interrupt it runs on other sockets with a short timeout; the caller waits for it 0.6 s at most.
        """
        if not self.sockets.is_interrupted:
            try:
                with self.around(deed):
                    action(self.client)
                return
            except StorageError as exc:
                log.warning("could not clean up: %s", exc)
                return
            except Cancelled:
                log.debug("interrupted while cleaning up")
        if not self._is_ours:
            return
        cleaning = threading.Thread(target=self._clean_up_apart, args=(deed, action), name="s3-clean-up")
        cleaning.start()
        cleaning.join(CLEAN_UP_WAIT_S)

    def interrupt(self) -> None:
        self.sockets.interrupt()

    def close(self) -> None:
        """Close what was opened here; a client that was given stays open."""
        with self._lock:
            if self._is_ours and self._client is not None:
                self.routes.close()
                self._client.close()
                self.sockets.close()

    def _clean_up_apart(self, deed: Deed, action: Callable[[Any], object]) -> None:
        try:
            with self._lock:
                self._cleaning += 1
                if self._cleaner is None:
                    self._cleaner = self._make(LiveSockets(), CLEAN_UP_TIMEOUT_S, CLEAN_UP_TIMEOUT_S)
                cleaner = self._cleaner
            action(cleaner)
        except SDK_ERRORS as exc:
            log.warning("could not clean up after an interrupt: %s", translate(exc, deed, self.host))
        finally:
            with self._lock:
                self._cleaning -= 1
                if not self._cleaning and self._cleaner is not None:
                    self._cleaner.close()
                    self._cleaner = None

    def _make(self, sockets: LiveSockets, connect_timeout_s: float, read_timeout_s: float) -> Any:
        settings, session = self.settings, self._session
        assert session is not None
        if not settings.verify_tls:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the user has chosen so
        if not settings.anonymous and not settings.access_key_id and session.get_credentials() is None:
            raise AuthenticationFailed(
                f"There are no credentials for {self.host}.",
                hint="Enter an access key, name an AWS profile, or choose anonymous access.",
            )
        if settings.access_key_id:
            self._credentials = Credentials(
                settings.access_key_id, settings.secret_access_key, settings.session_token or None
            )
        elif not settings.anonymous:
            self._credentials = session.get_credentials()
        client = session.create_client(
            "s3",
            region_name=settings.region or session.get_config_variable("region") or "us-east-1",
            endpoint_url=settings.endpoint_url or None,
            aws_access_key_id=settings.access_key_id or None,
            aws_secret_access_key=settings.secret_access_key or None,
            aws_session_token=settings.session_token or None,
            verify=(settings.ca_bundle or None) if settings.verify_tls else False,
            config=client_config(settings, connect_timeout_s, read_timeout_s),
        )
        # botocore has no public way to bring one's own connection pools.
        http = client._endpoint.http_session
        sockets.install(http._manager)
        http._pool_classes_by_scheme = http._manager.pool_classes_by_scheme  # what proxies' managers are given
        # Amazon honours If-None-Match; elsewhere only a refusal proves it (some ignore it and overwrite).
        if (urlsplit(client.meta.endpoint_url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
            self.conditional_writes = True
        client.meta.events.register("after-call.s3", self._look_at_answer)
        self.routes.install(client)
        return client

    def _keys(self) -> Keys:
        """What signs a request now; keys that are about to expire are renewed by it."""
        credentials = self._credentials
        if credentials is None:
            raise NoCredentialsError
        keys: Keys = credentials.get_frozen_credentials()
        return keys

    def _look_at_answer(self, http_response: Any, **_rest: Any) -> None:
        self.look_at_server(http_response.headers.get("server", ""))

    def look_at_server(self, name: str) -> None:
        """Learn from how the server calls itself."""
        if not self.folds_names and name.startswith("SeaweedFS"):
            self.folds_names = True


class Border:
    """The context of `S3Connection.around`: within it the SDK's exceptions turn into ours."""

    __slots__ = ("_connection", "_deed")

    def __init__(self, connection: S3Connection, deed: Deed) -> None:
        self._connection = connection
        self._deed = deed

    def __enter__(self) -> Self:
        self._connection.sockets.check()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(exc, SDK_ERRORS) and not isinstance(exc, StorageError):
            connection = self._connection
            is_interrupted = connection.sockets.is_interrupted
            raise translate(exc, self._deed, connection.host, is_interrupted=is_interrupted) from exc
        if isinstance(exc, StorageError) and self._connection.sockets.is_interrupted:
            raise Cancelled from exc


def might_be_one(one: str, other: str) -> bool:
    """Whether a server that keeps keys as files could take these names for the same."""
    return _folded(one).casefold() == _folded(other).casefold()


def _folded(key: str) -> str:
    return re.sub(r"/+", "/", key.replace("\\", "/")).strip("/")
