"""Start the servers, print where they are and what lets one in, and run until Ctrl+C: python -m tests.servers [NAME...]"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import fields, is_dataclass

from tests.servers.azurite import Azurite
from tests.servers.keyring_service import KeyringService
from tests.servers.seaweed import Seaweed
from tests.servers.sshd import Sshd, SshdAddress
from tests.servers.xvfb import Xvfb

SERVERS: dict[str, Callable[[], Sshd | Seaweed | Azurite | KeyringService | Xvfb]] = {
    "sshd": Sshd,
    "s3": Seaweed,
    "azure": Azurite,
    "keyring": KeyringService,
    "screen": Xvfb,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description="Start the tests' servers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(SERVERS)}; without: sshd s3 azure")
    names = parser.parse_args().names or ["sshd", "s3", "azure"]
    if unknown := [name for name in names if name not in SERVERS]:
        parser.error(f"there is no server {', '.join(unknown)}")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with contextlib.ExitStack() as stack:
        for name in names:
            server = SERVERS[name]()
            stack.enter_context(server)
            address = server.start()
            print(f"{name}\n{_described(address)}", flush=True)
        print("Ctrl+C ends them.", flush=True)
        ended.wait()
    return 0


def _described(address: object) -> str:
    if not is_dataclass(address):
        return f"    display            {address}"
    lines = [f"    {field.name:18} {getattr(address, field.name)}" for field in fields(address)]
    if isinstance(address, SshdAddress):
        lines.append(f"    {'url':18} sftp://{address.username}@{address.host}:{address.port}{address.root}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
