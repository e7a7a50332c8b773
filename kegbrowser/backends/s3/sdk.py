"""The SDK's session and configuration, with what makes it slow or chatty taken out."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import botocore.loaders
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ConfigParseError, ProfileNotFound
from botocore.utils import parse_timestamp

from kegbrowser import __version__
from kegbrowser.backends.errors import InvalidOptions
from kegbrowser.backends.s3.settings import Settings

for _chatty in ("botocore", "boto3", "s3transfer"):  # at debug they log headers, with signatures and session tokens
    logging.getLogger(_chatty).setLevel(logging.WARNING)


def client_config(settings: Settings, connect_timeout_s: float, read_timeout_s: float) -> Config:
    """The client's configuration: no tries of its own, checksums only where the callers want them."""
    path_style = settings.path_style
    if path_style is None and settings.endpoint_url:
        path_style = True
    s3: dict[str, object] = {"addressing_style": {None: "auto", True: "path", False: "virtual"}[path_style]}
    if settings.endpoint_url.lower().startswith("https:") or not settings.endpoint_url:
        s3["payload_signing_enabled"] = False  # TLS and our checksum cover the body; hashing it again costs CPU
    options: dict[str, object] = {"signature_version": UNSIGNED} if settings.anonymous else {}
    return Config(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        tcp_keepalive=True,
        max_pool_connections=16,
        user_agent=f"kegbrowser/{__version__}",
        # Checksums are sent and asked for by the reader and the writer, who know the ranges.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3=s3,
        **options,
    )


def sdk_session(settings: Settings) -> Any:
    """A session of the SDK, with its credentials' sources; reads files only.

    Raises:
        InvalidOptions: the profile is missing, or the configuration file is broken.
    """
    session = botocore.session.Session(profile=settings.profile or None)
    session.register_component("data_loader", _loader())
    # dateutil takes half of the time of a listing page.
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_time)
    try:
        session.get_scoped_config()
        # It asks a machine of Amazon's cloud and waits for seconds anywhere else.
        session.get_component("credential_provider").remove("iam-role")
    except ProfileNotFound as exc:
        profile = settings.profile or session.get_config_variable("profile")
        hint = "Look into ~/.aws/config and ~/.aws/credentials, or use an access key."
        raise InvalidOptions(f"There is no AWS profile “{profile}”.", hint=hint) from exc
    except ConfigParseError as exc:
        hint = "Mend it, or use an access key in another account of this machine."
        raise InvalidOptions("The AWS configuration file cannot be read.", hint=hint) from exc
    except BotoCoreError as exc:
        raise InvalidOptions(f"The AWS configuration is of no use ({type(exc).__name__}).") from exc
    return session


@cache
def _loader() -> Any:
    """The service descriptions, read once for all connections of the process."""
    return botocore.loaders.create_loader()


def parse_time(text: object) -> datetime:
    """The time of an answer, aware, UTC: as S3 writes it in listings and headers fast, all else as botocore does."""
    said = str(text)
    try:
        moment = parsedate_to_datetime(said) if said.endswith("GMT") else datetime.fromisoformat(said)
    except ValueError:
        moment = parse_timestamp(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
