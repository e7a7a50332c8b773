"""Libraries as peers, in a process of their own that is warm as ours is: obstore, s3transfer, Azure's SDK, paramiko.

Run as a file by the Python that has them. Each line of standard input is a JSON object: `do` names a function, the rest are its
arguments; the answer is a line "ok" when the work is done, or "failed" and why. The first line sets up the connection.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
AT_ONCE = 64
"""Small files on their way."""
RANGE = 16 * MIB
RANGES = 8
PART = 16 * MIB


class Obstore:
    """The Rust `object_store`: ranges and small files by its async functions, uploads by its own multipart."""

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        from obstore.store import AzureStore, S3Store

        self._store: Any = (S3Store if kind == "s3" else AzureStore)(**options)

    def get(self, key: str, target: str, size: int) -> None:
        asyncio.run(self._get(key, target, size))

    async def _get(self, key: str, target: str, size: int) -> None:
        import obstore

        gate = asyncio.Semaphore(RANGES)
        with Path(target).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

            async def one(start: int) -> None:
                async with gate:
                    length = min(RANGE, size - start)
                    content = await obstore.get_range_async(self._store, key, start=start, length=length)
                    await asyncio.to_thread(os.pwrite, file.fileno(), content, start)

            await asyncio.gather(*(one(start) for start in range(0, size, RANGE)))

    def put(self, source: str, key: str) -> None:
        import obstore

        obstore.put(self._store, key, Path(source), chunk_size=PART, max_concurrency=RANGES, use_multipart=True)

    def get_tree(self, prefix: str, target: str) -> None:
        asyncio.run(self._get_tree(prefix, Path(target)))

    async def _get_tree(self, prefix: str, target: Path) -> None:
        import obstore

        gate = asyncio.Semaphore(AT_ONCE)

        async def one(key: str) -> None:
            async with gate:
                answer = await obstore.get_async(self._store, key)
                content = await answer.bytes_async()
            path = target / key[len(prefix) :].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

        async with asyncio.TaskGroup() as group:
            async for page in obstore.list(self._store, prefix, chunk_size=1000):
                for entry in page:
                    group.create_task(one(entry["path"]))

    def put_tree(self, source: str, prefix: str) -> None:
        import obstore

        root = Path(source)
        paths = [path for path in root.rglob("*") if path.is_file()]

        def one(path: Path) -> None:
            obstore.put(self._store, f"{prefix}/{path.relative_to(root)}", path.read_bytes(), use_multipart=False)

        # Its `put_async` ends the process now and then, so: threads.
        with ThreadPoolExecutor(32) as pool:
            list(pool.map(one, paths))


class S3Transfer:
    """boto3's own transfers as they come."""

    def __init__(self, _kind: str, options: dict[str, Any]) -> None:
        import boto3

        self._bucket = options.pop("bucket")
        self._client: Any = boto3.client("s3", **options)

    def get(self, key: str, target: str, size: int) -> None:
        self._client.download_file(self._bucket, key, target)

    def put(self, source: str, key: str) -> None:
        self._client.upload_file(source, self._bucket, key)


class AzureSdk:
    """`azure-storage-blob` as it comes."""

    def __init__(self, _kind: str, options: dict[str, Any]) -> None:
        from azure.storage.blob import ContainerClient

        self._container = ContainerClient(**options)

    def get(self, key: str, target: str, size: int) -> None:
        with Path(target).open("wb") as file:
            self._container.download_blob(key).readinto(file)

    def put(self, source: str, key: str) -> None:
        with Path(source).open("rb") as file:
            self._container.upload_blob(key, file)


class Paramiko:
    """`SFTPClient.get` and `put` as they come, over a connection that is open."""

    def __init__(self, _kind: str, options: dict[str, Any]) -> None:
        import paramiko

        client = paramiko.SSHClient()
        client.load_host_keys(options.pop("known_hosts"))
        client.connect(**options, allow_agent=False, look_for_keys=False)
        self._client, self._sftp = client, client.open_sftp()

    def get(self, key: str, target: str, size: int) -> None:
        self._sftp.get(key, target)

    def put(self, source: str, key: str) -> None:
        self._sftp.put(source, key)


LIBRARIES: dict[str, Any] = {
    "obstore": Obstore,
    "s3transfer": S3Transfer,
    "azure-sdk": AzureSdk,
    "paramiko": Paramiko,
}


def main() -> None:
    peer: Any = None
    for line in sys.stdin:
        words = json.loads(line)
        do = words.pop("do")
        try:
            if do == "connect":
                peer = LIBRARIES[words["library"]](words["kind"], words["options"])
            else:
                getattr(peer, do)(**words)
        except Exception as exc:
            print("failed", f"{type(exc).__name__}: {exc}".replace("\n", " "), flush=True)
        else:
            print("ok", flush=True)


if __name__ == "__main__":
    main()
