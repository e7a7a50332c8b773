"""Pictures of this build on real servers, for the README and to be looked at: `python -m tests.end2end.screenshots FOLDER`."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kegbrowser.profiles.settings import SettingsStore
from tests.end2end import panel_pictures
from tests.end2end.desktop import Desktop
from tests.servers.azurite import Azurite
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.keyring_service import KeyringService
from tests.servers.seaweed import S3Address, Seaweed
from tests.servers.sshd import Sshd
from tests.servers.xvfb import Xvfb

LONG = (
    "A very long name of a file that somebody chose with care and that no column in the world is wide enough for " * 2
)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        screen = stack.enter_context(Xvfb("1280x820"))
        screen.start()
        keyring = stack.enter_context(KeyringService()).start()
        sshd, s3, azure = Sshd(), Seaweed(), Azurite()
        for server in (sshd, s3, azure):
            stack.enter_context(server)
        addresses = sshd.start(), s3.start(), azure.start()
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keg-home-")))
        user = home / "sam"
        user.mkdir()
        _fill(addresses)
        with Desktop(screen, user, keyring.env) as desktop:
            _tour(desktop, stack, folder, addresses, home)
        SettingsStore(user / ".config" / "kegbrowser" / "settings.json").change(theme="dark")
        with Desktop(screen, user, keyring.env) as desktop:
            _dark(desktop, folder)
        panel_pictures.take(screen, keyring.env, home, folder)


def _fill(addresses: tuple[Any, Any, Any]) -> None:
    sshd, s3, azure = addresses
    root = Path(sshd.root)
    for name in ("backup", "photos 2026", "projects", "www"):
        (root / name).mkdir()
    for name in (
        "notes.md",
        "report.pdf",
        "budget.xlsx",
        "song.flac",
        "site.tar.gz",
        "server.log",
        f"{LONG[:200]}.txt",
    ):
        (root / name).write_bytes(secrets.token_bytes(50_000))
    client = _s3_client(s3)
    for bucket in ("customer-data", "holiday-photos", "logs-2026", "website"):
        client.create_bucket(Bucket=bucket)
    for number in range(60):
        client.put_object(
            Bucket="holiday-photos", Key=f"Lisbon/IMG_{2000 + number}.jpg", Body=secrets.token_bytes(900 * number)
        )
    for name in ("Rome/a.jpg", "Oslo/b.jpg", "index.html", "albums.json", "cover.png", "captions.csv", "trip.mp4"):
        client.put_object(Bucket="holiday-photos", Key=name, Body=secrets.token_bytes(90_000))
    from azure.storage.blob import BlobServiceClient

    service = BlobServiceClient(azure.endpoint, credential=azure.key)
    for container in ("archive", "invoices", "telemetry"):
        service.create_container(container)
    for number in range(12):
        service.get_blob_client("invoices", f"2026/{number + 1:02}/invoice-{number}.pdf").upload_blob(
            b"x" * 5000 * number
        )


def _s3_client(s3: S3Address) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name=s3.region,
        aws_access_key_id=s3.admin.access_key,
        aws_secret_access_key=s3.admin.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )


def _tour(desktop: Desktop, stack: ExitStack, folder: Path, addresses: tuple[Any, Any, Any], home: Path) -> None:
    sshd, s3, azure = addresses

    def picture(name: str) -> None:
        time.sleep(0.6)
        desktop.screenshot(folder / f"{name}.png")

    desktop.until(lambda state: state["listing"] == "listed", "the Playground")
    picture("playground")
    desktop.key("ctrl+n")
    desktop.click("kind", label="SFTP")
    picture("connection-dialog")
    desktop.fill("option_host", "127.0.0.1")
    desktop.fill("option_port", "1")
    desktop.fill("option_username", "sam")
    desktop.click("widget", name="test_connection")
    desktop.until(lambda state: "refused" in state["test_result"], "the refusal")
    picture("connection-refused")
    desktop.key("Escape")

    keys = {"option_access_key_id": s3.admin.access_key, "option_secret_access_key": s3.admin.secret_key}
    _connect(desktop, "Amazon S3 and compatible", "Photos", {"option_endpoint": s3.endpoint} | keys)
    desktop.until(lambda state: "holiday-photos" in state["names"], "the buckets")
    desktop.click("row", name="holiday-photos")
    desktop.key("Return")
    desktop.until(lambda state: "Lisbon" in state["names"], "the bucket")
    picture("s3")
    proxy = stack.enter_context(FaultyProxy(azure.port))
    fields = {"option_account": azure.account, "option_key": azure.key, "section_Advanced": ""}
    fields["option_endpoint"] = azure.endpoint.replace(str(azure.port), str(proxy.port))
    _connect(desktop, "Azure Blob", "Invoices", fields)
    desktop.until(lambda state: "invoices" in state["names"], "the containers")
    desktop.click("row", name="invoices")
    desktop.key("Return")
    desktop.until(lambda state: "2026" in state["names"], "the container")
    picture("azure")

    proxy.faults.bytes_per_s = 1_500_000
    trip = home / "trip"
    trip.mkdir()
    for number in range(40):
        (trip / f"IMG_{number}.jpg").write_bytes(os.urandom(400_000))
    desktop.drag_from_file_manager(trip, desktop.place("branch", connection="Invoices", path="invoices/"))
    desktop.until(
        lambda state: any(one["state"] == "running" and one["files"] > 3 for one in state["transfers"]), "progress"
    )
    picture("busy")
    desktop.drag_from_file_manager(trip, desktop.place("branch", connection="Invoices", path="invoices/"))
    desktop.until(lambda state: state["modal"] == "conflict_dialog" or _all_done(state), "the clash", 60)
    if desktop.state["modal"] == "conflict_dialog":
        picture("conflict")
        desktop.key("Escape")
    desktop.until(_all_done, "the end of the transfers", 120)
    proxy.faults.bytes_per_s = 0

    desktop.click("branch", connection="Invoices", path="invoices/")
    desktop.until(lambda state: "trip" in state["names"], "the uploaded folder")
    desktop.click("row", name="trip")
    desktop.key("Delete")
    desktop.until(lambda state: state["modal"] == "delete_dialog", "the question")
    picture("delete")
    desktop.key("Escape")
    proxy.faults.refuse = True
    proxy.cut_all()
    desktop.key("F5")
    desktop.until(lambda state: state["error"], "the error", 90)
    picture("error")
    fields = {"option_host": "127.0.0.1", "option_port": str(sshd.port), "option_username": sshd.username}
    _connect(desktop, "SFTP", "Web server", fields, key=sshd.key_file, start=sshd.root)
    desktop.until(lambda state: "notes.md" in state["names"], "the server's files")
    picture("sftp")
    desktop.key("ctrl+l")
    desktop.type("s3://holiday-photos/")
    desktop.key("Return")
    desktop.until(lambda state: "Lisbon" in state["names"], "the bucket")


def _dark(desktop: Desktop, folder: Path) -> None:
    desktop.until(lambda state: "Lisbon" in state["names"], "the bucket where it was left")
    desktop.click("row", name="cover.png")
    time.sleep(0.6)
    desktop.screenshot(folder / "dark.png")
    desktop.key("ctrl+n")
    desktop.place("kind", label="Azure Blob")
    time.sleep(0.6)
    desktop.screenshot(folder / "dark-dialog.png")
    desktop.key("Escape")


def _all_done(state: dict[str, Any]) -> bool:
    return all(one["state"] in ("done", "cancelled", "failed", "incomplete") for one in state["transfers"])


def _connect(
    desktop: Desktop, label: str, name: str, fields: dict[str, str], *, key: str = "", start: str = ""
) -> None:
    desktop.key("ctrl+n")
    desktop.click("kind", label=label)
    for field, text in fields.items():
        if field.startswith("section_"):
            desktop.click("widget", name=field)
        else:
            desktop.fill(field, text)
    if key:
        desktop.click("widget", name="option_auth")
        desktop.key("Home")
        desktop.key("Down")
        desktop.key("Return")
        desktop.fill("option_key_filename", key)
        desktop.fill("option_start_folder", start)
    desktop.fill("connection_name", name)
    desktop.click("widget", name="save_connection")
    state = desktop.until(
        lambda state: (
            state["modal"] == "host_key_dialog" or (state["connection"] == name and state["listing"] == "listed")
        ),
        "the connection",
    )
    if state["modal"] == "host_key_dialog":
        desktop.click("widget", name="trust_host_key")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
