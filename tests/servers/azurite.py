"""A real Azure Blob server: Azurite, from the npm registry."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.servers.process import HOST, Server, ServerDidNotStart, answers, find_program, free_port

ACCOUNT = "devstoreaccount1"
# The key of the emulator's account is published in Microsoft's own documentation ("Use the Azurite emulator").
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True)
class AzureAddress:
    """Where it is; `endpoint` ends in the account's name."""

    endpoint: str
    port: int
    account: str
    key: str

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.endpoint};"
        )

    def sas(self, permissions: str = "rl", *, valid_s: float = 3600) -> str:
        """An account SAS for containers and blobs; letters as in the service's documentation (`rwdlac`)."""
        from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

        now = datetime.now(UTC)
        return str(
            generate_account_sas(
                self.account,
                self.key,
                ResourceTypes(service=True, container=True, object=True),
                AccountSasPermissions.from_string(permissions),  # type: ignore[no-untyped-call]  # the SDK has no types for it
                now + timedelta(seconds=valid_s),
                now - timedelta(hours=1),
            )
        )


class Azurite(Server):
    """Args:
    in_memory: keep nothing on disk; False keeps all in its folder, also over a stop and a start.
    parent: where its folder is made.
    """

    def __init__(self, *, in_memory: bool = True, parent: Path | None = None) -> None:
        super().__init__("azure", parent)
        port = free_port()
        self.address = AzureAddress(f"http://{HOST}:{port}/{ACCOUNT}", port, ACCOUNT, KEY)
        self._in_memory = in_memory

    def start(self) -> AzureAddress:
        storage = ["--inMemoryPersistence"] if self._in_memory else ["--location", str(self.folder / "data")]
        command = [
            find_program("node"),
            str(_program()),
            "--blobHost",
            HOST,
            "--blobPort",
            str(self.address.port),
            *storage,
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
        ]
        self.run(command, lambda: answers(self.address.port))
        return self.address


def _program() -> Path:
    relative = Path("node_modules/azurite/dist/src/blob/main.js")
    root = Path(__file__).resolve().parents[2]
    for folder in (os.environ.get("KEGBROWSER_NODE", ""), str(root / "packaging" / "node")):
        if folder and (Path(folder) / relative).is_file():
            return Path(folder) / relative
    raise ServerDidNotStart("Azurite is not installed; packaging/test installs it.")
