"""What an S3 client is made of, and what can be said about it without connecting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kegbrowser.backends.errors import InvalidOptions


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """What a client is made of; holds secrets.

    Attributes:
        region: "" for the profile's, else us-east-1.
        endpoint_url: "" for Amazon's.
        path_style: None for path style where there is an endpoint of its own, else Amazon's rule.
        timeout_s: how long the server may be silent.
    """

    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    session_token: str = ""
    profile: str = ""
    endpoint_url: str = ""
    path_style: bool | None = None
    anonymous: bool = False
    verify_tls: bool = True
    ca_bundle: str = ""
    timeout_s: float = 60.0

    def check(self) -> None:
        """Find what is wrong without connecting.

        Raises:
            InvalidOptions: names the option.
        """
        if bool(self.access_key_id) != bool(self.secret_access_key) and not self.anonymous:
            missing = "secret access key" if self.access_key_id else "access key ID"
            raise InvalidOptions(f"The {missing} is missing.", hint=f"Enter the {missing} as well.")
        if self.ca_bundle and not Path(self.ca_bundle).is_file():
            raise InvalidOptions(f"There is no certificate file “{self.ca_bundle}”.", hint="Choose another file.")
        if self.endpoint_url:
            _check_endpoint(self.endpoint_url)


def _check_endpoint(url: str) -> None:
    hint = "Write it as https://host or https://host:port."
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise InvalidOptions("The address of the server is malformed.", hint=hint) from exc
    if parts.scheme not in ("http", "https") or not has_host or " " in url:
        raise InvalidOptions("The address of the server is malformed.", hint=hint)
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidOptions("The address of the server holds more than host and path.", hint=hint)
