"""What the loop carries out: one file's requests, and what their answers come to."""

from __future__ import annotations

from abc import ABC, abstractmethod

from kegbrowser.backends.batches import FileResult
from kegbrowser.backends.s3.routes import Route
from kegbrowser.backends.s3.wire import Head


class Errand(ABC):
    """One file's course: one request after another, until there is a result.

    Attributes:
        bucket: what it is about.
        route: where its requests go; None: only the SDK knows, `slowly` does it.
        method: of the request that is to be sent.
        may_resend: whether that request does no harm if it comes twice.
        was_lost: a kept connection lost it once.
    """

    bucket: str
    route: Route | None
    method: str
    may_resend = True
    was_lost = False

    @abstractmethod
    def request(self) -> bytes:
        """The whole request to be sent now, signed for this moment."""

    @abstractmethod
    def check_head(self, head: Head) -> FileResult | None:
        """Look at the head of an answer before its body is taken; a result ends the errand, and the connection."""

    @abstractmethod
    def answer(self, head: Head, body: bytes) -> FileResult | None:
        """Take an answer; None: there is another request to send.

        Raises:
            Unusual: it is not understood.
            StorageError, SDK_ERRORS: it is an error.
        """

    @abstractmethod
    def fail(self, exc: Exception) -> FileResult:
        """The result for a StorageError or an exception of `SDK_ERRORS`."""

    @abstractmethod
    def slowly(self) -> FileResult:
        """Do it all in the SDK's way, blocking, on another thread."""
