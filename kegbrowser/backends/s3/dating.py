"""A machine whose clock is wrong: the server's time is learned from its refusal, and requests are dated by that from then on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from kegbrowser.backends.s3.signing import Clock, Signer, host_of

log = logging.getLogger(__name__)

LEAST_SKEW_S = 240.0
"""Below this it is not the clock: Amazon refuses beyond 15 minutes, some servers beyond 5."""

_SKEWED = ("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture")
_MARK = "kegbrowser_redated"


class Dating:
    """Corrects the dates of one connection's requests, the SDK's as well as ours. Any thread.

    Args:
        signer_of: the signer for an Authorization header of the SDK's; None if it is of another kind.
    """

    def __init__(self, clock: Clock, signer_of: Callable[[str], Signer | None]) -> None:
        self._clock = clock
        self._signer_of = signer_of

    def install(self, client: Any) -> None:
        """Correct this client's requests."""
        client.meta.events.register_last("request-created.s3", self._redate)
        client.meta.events.register("needs-retry.s3", self._look_at_refusal)

    def learn(self, status: int, code: str, date: str) -> bool:
        """Look at a refusal: whether the clock was to blame, so that the same request may succeed now.

        Args:
            code: "" where there is no body that could say it, as of HEAD.
            date: the answer's Date header.
        """
        if status not in (400, 403) or (code not in _SKEWED and not _is_bare(code)):
            return False
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError):
            return False
        offset_s = theirs - self._clock.now()
        if abs(offset_s - self._clock.offset_s) < LEAST_SKEW_S:
            return False
        log.warning(
            "this machine's clock differs by %.0f s from the server's: requests are dated by the latter", offset_s
        )
        self._clock.offset_s = offset_s
        return True

    def _look_at_refusal(self, response: Any, request_dict: dict[str, Any], **_rest: Any) -> float | None:
        """Have the SDK send a request again, once, that was refused for its date."""
        if response is None or request_dict["context"].get(_MARK):
            return None
        answer, parsed = response
        code = str(parsed.get("Error", {}).get("Code", ""))
        if not self.learn(answer.status_code, code, answer.headers.get("date", "")):
            return None
        request_dict["context"][_MARK] = True
        return 0.0

    def _redate(self, request: Any, **_rest: Any) -> None:
        """Sign a request of the SDK's anew, with the right date."""
        if not self._clock.offset_s:
            return
        authorization = _text(request.headers.get("Authorization") or "")
        signer = self._signer_of(authorization) if authorization else None
        names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        if signer is None:
            return
        parts = urlsplit(request.url)
        headers = {name: _text(request.headers[name]) for name in names if name in request.headers}
        headers["host"] = host_of(parts)
        query = "&".join(sorted(pair if "=" in pair else f"{pair}=" for pair in parts.query.split("&") if pair))
        payload = _text(request.headers["X-Amz-Content-SHA256"])
        signed = signer.sign(request.method, parts.path or "/", query, headers, payload)
        for name in ("x-amz-date", "x-amz-security-token", "authorization"):
            del request.headers[name]
            if name in signed:
                request.headers[name] = signed[name]


def _is_bare(code: str) -> bool:
    return not code or code.isdecimal()


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
