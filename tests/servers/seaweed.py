"""A real S3 server: SeaweedFS, with an administrator, a reader and an identity that may do nothing."""

from __future__ import annotations

import json
import signal
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.servers.process import HOST, Server, answers, find_program, free_port

GRPC = 10_000
"""Its gRPC ports are the others plus this."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An access key and its secret."""

    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class S3Address:
    """Where it is and who may do what: `admin` everything, `reader` reads the buckets `shared…`, `nobody` nothing."""

    endpoint: str
    port: int
    region: str
    admin: Identity
    reader: Identity
    nobody: Identity
    master_port: int


class Seaweed(Server):
    """Up in some seconds.

    Args:
        parent: where its folder with all data is made.
    """

    stop_signal = signal.SIGKILL  # it takes seconds to end gently, and its data is thrown away

    def __init__(self, parent: Path | None = None) -> None:
        super().__init__("s3", parent)
        master, volume, filer, s3 = (free_port(also=(GRPC,)) for _ in range(4))
        self._ports = (master, volume, filer, s3)
        self.address = S3Address(
            endpoint=f"http://{HOST}:{s3}",
            port=s3,
            region="us-east-1",
            admin=Identity("KEGACCESSKEY", "kegsecretkey0123456789"),
            reader=Identity("KEGREADONLY", "kegreadonly0123456789"),
            nobody=Identity("KEGNOBODY", "kegnobody0123456789"),
            master_port=master,
        )

    def start(self) -> S3Address:
        master, volume, filer, s3 = self._ports
        identities = self.folder / "s3.json"
        identities.write_text(json.dumps({"identities": self._identities()}))
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        command = [
            find_program("weed", _weed_of_this_python()),
            "server",
            f"-dir={data}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=1024",
            "-volume.max=4000",
            "-volume.preStopSeconds=0",
            f"-master.port={master}",
            f"-volume.port={volume}",
            "-filer",
            f"-filer.port={filer}",
            "-s3",
            f"-s3.port={s3}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={identities}",
            "-s3.iam=false",
        ]
        self.run(command, self._is_ready)
        return self.address

    def stop(self) -> None:
        super().stop()
        for port in self._ports:  # it makes sockets there whatever the temporary folder is
            for socket in (
                *Path("/tmp").glob(f"seaweedfs-*-{port}.sock"),
                *Path("/tmp").glob(f"seaweedfs-*-{port + GRPC}.sock"),
            ):
                socket.unlink(missing_ok=True)

    def vacuum(self) -> None:
        """Give back the space of deleted objects: volumes keep it otherwise."""
        url = f"http://{HOST}:{self.address.master_port}/vol/vacuum?garbageThreshold=0.05"
        with urllib.request.urlopen(url, timeout=60) as answer:
            answer.read()

    def _identities(self) -> list[dict[str, object]]:
        rights = (
            (self.address.admin, ["Admin", "Read", "Write", "List", "Tagging"]),
            (self.address.reader, ["Read:shared*", "List:shared*"]),
            (self.address.nobody, ["Read:nothing-at-all"]),
        )
        return [
            {
                "name": identity.access_key.lower(),
                "credentials": [{"accessKey": identity.access_key, "secretKey": identity.secret_key}],
                "actions": actions,
            }
            for identity, actions in rights
        ]

    def _is_ready(self) -> bool:
        """Ready when it refuses properly, which it does only once its filer answers."""
        if not answers(self.address.port):
            return False
        try:
            urllib.request.urlopen(f"{self.address.endpoint}/", timeout=2).close()
        except urllib.error.HTTPError as refusal:
            return refusal.code in (401, 403) and self._can_write()
        except OSError:
            return False
        return self._can_write()

    def _can_write(self) -> bool:
        """A volume server that has not yet registered makes the first uploads fail: ask the master for a place."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.address.master_port}/dir/assign", timeout=5) as answer:
                return b'"fid"' in answer.read()
        except OSError:
            return False


def _weed_of_this_python() -> str:
    return str(Path(sys.executable).with_name("weed"))
