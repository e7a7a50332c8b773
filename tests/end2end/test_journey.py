"""A user's whole way through the real program: real servers, a real keyring, a real screen, mouse and keys."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end2end.desktop import Desktop
from tests.servers.azurite import AzureAddress
from tests.servers.keyring_service import KeyringAddress
from tests.servers.seaweed import S3Address
from tests.servers.sshd import SshdAddress
from tests.servers.xvfb import Xvfb

pytestmark = [pytest.mark.end2end, pytest.mark.timeout(420)]

FILES = 200


@dataclass(frozen=True)
class Journey:
    """One kind of storage for the journey.

    Attributes:
        label: of the kind in the dialog.
        fields: what is typed into the form.
        canary: the secret that must not be found in any file; "" if there is none.
        target: the folder in the connection that the drop goes to.
        content: what the server itself has below the dropped folder: relative name -> SHA-256.
    """

    label: str
    fields: dict[str, str]
    canary: str
    target: str
    content: Callable[[str], dict[str, str]]


@pytest.fixture(params=["sftp", "s3", "azure"])
def journey(request: pytest.FixtureRequest) -> Journey:
    make: Callable[[pytest.FixtureRequest], Journey] = {"sftp": _sftp, "s3": _s3, "azure": _azure}[request.param]
    return make(request)


def test_connect_upload_download_delete_and_come_back(
    journey: Journey, screen: Xvfb, secret_service: KeyringAddress, tmp_path: Path
) -> None:
    home, download = tmp_path / "home", tmp_path / "download"
    home.mkdir()
    download.mkdir()
    folder = tmp_path / "holiday photos"
    sent = _make_files(folder)

    with Desktop(screen, home, secret_service.env) as desktop:
        _add_connection(desktop, journey)
        drop_on = desktop.place("branch", connection="Journey", path=journey.target)
        desktop.drag_from_file_manager(folder, drop_on)
        desktop.until(_done("upload"), "the upload")
        assert journey.content(folder.name) == sent

        desktop.click("branch", connection="Journey", path=journey.target)
        desktop.until(lambda state: folder.name in state["names"], "the uploaded folder in the contents")
        desktop.click("row", name=folder.name)
        desktop.key("ctrl+shift+d")
        desktop.until(lambda state: state["modal"] == "download_to_chooser", "the question where to download to")
        desktop.fill("fileNameEdit", str(download))
        desktop.key("Return")
        desktop.until(_done("download"), "the download")
        assert _content_of(download / folder.name) == sent
        assert not [path for path in download.rglob("*") if path.name.endswith(".kegpart")]

        desktop.click("row", name=folder.name, button=3)
        desktop.click("menu", text="Delete…")
        state = desktop.until(lambda state: state["modal"] == "delete_dialog", "the question before the deletion")
        assert folder.name in state["modal_text"]
        desktop.click("widget", name="confirm_delete")
        desktop.until(_done("delete"), "the deletion")
        desktop.until(lambda state: folder.name not in state["names"], "the folder's leaving")
        assert journey.content(folder.name) == {}

    with Desktop(screen, home, secret_service.env) as desktop:
        state = desktop.until(lambda state: "Journey" in state["connections"], "the saved connection")
        desktop.click("branch", connection="Journey", path="")
        desktop.until(
            lambda state: state["connection"] == "Journey" and state["listing"] == "listed" and not state["error"],
            "the listing with the saved secret",
        )

    assert "Traceback" not in desktop.log, desktop.log
    if journey.canary:
        assert _files_with(journey.canary, [home, Path(secret_service.data)]) == []
        assert journey.canary not in desktop.log


def _add_connection(desktop: Desktop, journey: Journey) -> None:
    desktop.key("ctrl+n")
    desktop.click("kind", label=journey.label)
    for name, text in journey.fields.items():
        if text.startswith("choose:"):
            desktop.click("widget", name=name)
            desktop.key("Home")
            for _step in range(int(text.removeprefix("choose:"))):
                desktop.key("Down")
            desktop.key("Return")
        elif name.startswith("section:"):
            desktop.click("widget", name=text)
        else:
            desktop.fill(name, text)
    desktop.fill("connection_name", "Journey")
    desktop.click("widget", name="test_connection")
    state = desktop.until(
        lambda state: state["modal"] == "host_key_dialog" or state["test_result"] not in ("", "Connecting…"),
        "an answer to the test of the connection",
    )
    if state["modal"] == "host_key_dialog":
        desktop.click("widget", name="trust_host_key")
    desktop.until(lambda state: state["test_result"].startswith("Connected"), "the success of the test")
    desktop.click("widget", name="save_connection")
    desktop.until(
        lambda state: state["connection"] == "Journey" and state["listing"] == "listed", "the new connection's listing"
    )


def _done(kind: str) -> Callable[[dict[str, list[dict[str, object]]]], bool]:
    def check(state: dict[str, list[dict[str, object]]]) -> bool:
        ended = [one for one in state["transfers"] if one["kind"] == kind]
        assert not [one for one in ended if one["state"] in ("failed", "incomplete", "cancelled")], ended
        return bool(ended) and all(one["state"] == "done" for one in ended)

    return check


def _make_files(folder: Path) -> dict[str, str]:
    for number in range(FILES):
        path = folder / f"year {number % 4}" / f"day {number % 7}" / f"photo é{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(secrets.token_bytes((number * 977) % 40_000))
    return _content_of(folder)


def _content_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _files_with(canary: str, folders: list[Path]) -> list[str]:
    needle = canary.encode()
    paths = [Path(place) / name for folder in folders for place, _folders, names in os.walk(folder) for name in names]
    return [str(path) for path in paths if path.is_file() and needle in path.read_bytes()]


def _sftp(request: pytest.FixtureRequest) -> Journey:
    server: SshdAddress = request.getfixturevalue("sshd_server")
    place = Path(server.root) / secrets.token_hex(4)
    place.mkdir()
    fields = {
        "option_host": server.host,
        "option_port": str(server.port),
        "option_username": server.username,
        "option_auth": "choose:1",
        "option_key_filename": server.key_file,
        "option_start_folder": str(place),
    }
    target = f"{str(place).lstrip('/')}/"
    return Journey("SFTP", fields, "", target, lambda name: _content_of(place / name))


def _s3(request: pytest.FixtureRequest) -> Journey:
    import boto3
    from botocore.config import Config

    server: S3Address = request.getfixturevalue("s3_server")
    bucket = f"journey-{secrets.token_hex(4)}"
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=server.region,
        aws_access_key_id=server.admin.access_key,
        aws_secret_access_key=server.admin.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=bucket)

    def content(name: str) -> dict[str, str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{name}/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {
            key.removeprefix(f"{name}/"): _sha(client.get_object(Bucket=bucket, Key=key)["Body"].read())
            for key in keys
            if not key.endswith("/")
        }

    fields = {
        "option_access_key_id": server.admin.access_key,
        "option_secret_access_key": server.admin.secret_key,
        "option_bucket": bucket,
        "option_endpoint": server.endpoint,
    }
    return Journey("Amazon S3 and compatible", fields, server.admin.secret_key, "", content)


def _azure(request: pytest.FixtureRequest) -> Journey:
    from azure.storage.blob import BlobServiceClient

    server: AzureAddress = request.getfixturevalue("azure_server")
    container = f"journey-{secrets.token_hex(4)}"
    service = BlobServiceClient(server.endpoint, credential=server.key)
    client = service.create_container(container)

    def content(name: str) -> dict[str, str]:
        blobs = list(client.list_blobs(name_starts_with=f"{name}/"))
        return {
            blob.name.removeprefix(f"{name}/"): _sha(client.download_blob(blob.name).readall())
            for blob in blobs
            if not blob.name.endswith("/")
        }

    fields = {
        "option_account": server.account,
        "option_key": server.key,
        "option_container": container,
        "section:Advanced": "section_Advanced",
        "option_endpoint": server.endpoint,
    }
    return Journey("Azure Blob", fields, server.key, "", content)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
