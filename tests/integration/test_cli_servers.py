"""The command line against real servers: every verb on every protocol, every common failure in one sentence."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import pytest

from tests.integration.command_line import CommandLine, Ended, interrupt
from tests.servers.azurite import AzureAddress
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.keyring_service import KeyringAddress
from tests.servers.process import HOST, free_port, wait_until
from tests.servers.seaweed import Identity, S3Address
from tests.servers.sshd import SshdAddress

KINDS = ("sftp", "s3", "azure")
HOSTILE_NAMES = ("plain.txt", "a b  c.txt", "%41+#?&'.txt", "日本 🦆.txt", "semi;colon", "-rf")


@dataclass(frozen=True, slots=True)
class Remote:
    """A place on a real server that one test has for itself.

    Attributes:
        cli: with all that is needed to connect.
        url: of an empty folder there, ends in "/".
        stdin: what every command is given on standard input.
        secrets: that must not be seen anywhere.
    """

    cli: CommandLine
    url: str
    stdin: str = ""
    secrets: tuple[str, ...] = ()

    def run(self, *words: str) -> Ended:
        ended = self.cli.run(*words, stdin=self.stdin)
        for secret in self.secrets:
            assert secret not in ended.out + ended.err
        return ended

    def names(self, path: str = "", *flags: str) -> list[str]:
        ended = self.run("ls", *flags, self.url + path)
        assert ended.code == 0, ended.err
        return sorted(ended.out.splitlines())


Connect = Callable[[CommandLine, int | None], Remote]


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    home = tmp_path / "home"
    home.mkdir()
    return CommandLine(home)


def sftp_remote(address: SshdAddress, cli: CommandLine, port: int | None = None) -> Remote:
    """A folder of an OpenSSH server, by a key file; `port` of a proxy before it."""
    port = port or address.port
    known_hosts = cli.home / "known_hosts_of_the_test"
    known_hosts.write_text(Path(address.known_hosts_file).read_text().replace(f"]:{address.port}", f"]:{port}"))
    folder = Path(address.root) / uuid.uuid4().hex
    folder.mkdir()
    options = ("--option", f"key_filename={address.key_file}", "--option", f"known_hosts={known_hosts}")
    return Remote(cli.with_options(*options), f"sftp://{address.username}@{HOST}:{port}{folder}/")


def s3_remote(
    address: S3Address, cli: CommandLine, port: int | None = None, identity: Identity | None = None, bucket: str = ""
) -> Remote:
    """A bucket, with the variables of Amazon's own tools."""
    who = identity or address.admin
    variables = {"AWS_ACCESS_KEY_ID": who.access_key, "AWS_SECRET_ACCESS_KEY": who.secret_key}
    endpoint = f"http://{HOST}:{port or address.port}"
    with_keys = cli.with_options("--option", f"endpoint={endpoint}", environment=variables)
    if not bucket:
        bucket = f"cli-{uuid.uuid4().hex}"
        s3_client(address).create_bucket(Bucket=bucket)
    return Remote(with_keys, f"s3://{bucket}/", secrets=(who.secret_key,))


def azure_remote(address: AzureAddress, cli: CommandLine, port: int | None = None, key: str = "") -> Remote:
    """A container, with the account's key by standard input."""
    endpoint = f"http://{HOST}:{port or address.port}/{address.account}"
    options = ("--option", f"endpoint={endpoint}", "--secret-stdin", "key")
    container = f"cli-{uuid.uuid4().hex}"
    remote = Remote(
        cli.with_options(*options), f"azure://{address.account}/{container}/", f"{address.key}\n", (address.key,)
    )
    assert remote.run("mkdir", remote.url).code == 0
    return replace(remote, stdin=f"{key}\n", secrets=(key,)) if key else remote


def s3_client(address: S3Address) -> boto3.client:
    return boto3.client(
        "s3",
        endpoint_url=address.endpoint,
        region_name=address.region,
        aws_access_key_id=address.admin.access_key,
        aws_secret_access_key=address.admin.secret_key,
    )


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Callable[[str, CommandLine, int | None], Remote]:
    """Make a place on the server of a kind, which is started when first needed; through a proxy's port if one is given."""

    def make(kind: str, cli: CommandLine, port: int | None = None) -> Remote:
        if kind == "sftp":
            return sftp_remote(request.getfixturevalue("sshd_server"), cli, port)
        if kind == "s3":
            return s3_remote(request.getfixturevalue("s3_server"), cli, port)
        return azure_remote(request.getfixturevalue("azure_server"), cli, port)

    return make


@pytest.fixture
def server_port(request: pytest.FixtureRequest) -> Callable[[str], int]:
    """The port of the server of a kind."""

    def port(kind: str) -> int:
        name = {"sftp": "sshd_server", "s3": "s3_server", "azure": "azure_server"}[kind]
        return int(request.getfixturevalue(name).port)

    return port


@pytest.fixture(params=KINDS)
def remote(
    request: pytest.FixtureRequest, cli: CommandLine, connect: Callable[[str, CommandLine, int | None], Remote]
) -> Remote:
    return connect(request.param, cli, None)


# -- what works ------------------------------------------------------------------------------------------------------


def test_every_verb_does_its_work(remote: Remote, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "x.bin").write_bytes(content)

    assert remote.run("put", str(tmp_path / "x.bin"), remote.url) == Ended(0, "", "")
    assert remote.run("mkdir", f"{remote.url}new folder").code == 0
    assert remote.run("cp", f"{remote.url}x.bin", f"{remote.url}new%20folder/").code == 0
    assert remote.run("mv", f"{remote.url}x.bin", f"{remote.url}y.bin").code == 0
    assert remote.names() == ["new folder/", "y.bin"]
    assert remote.names("", "-r") == ["new folder/", "new folder/x.bin", "y.bin"]
    row = remote.run("stat", "--json", f"{remote.url}y.bin").row
    assert (row["name"], row["kind"], row["size"], row["url"]) == ("y.bin", "file", 300_000, f"{remote.url}y.bin")
    report = remote.run("get", "--json", f"{remote.url}y.bin", str(tmp_path / "back.bin")).row
    assert (report["files_done"], report["bytes_done"], report["failures"]) == (1, 300_000, [])
    assert sum(count for count in report["checked"].values() if isinstance(count, int)) == 1
    assert (tmp_path / "back.bin").read_bytes() == content
    assert remote.run("rm", "-y", "-r", f"{remote.url}y.bin", f"{remote.url}new%20folder").code == 0
    assert remote.names() == []


def test_a_tree_with_hostile_names_goes_there_and_back_unchanged(remote: Remote, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub folder" / "deep").mkdir(parents=True)
    wanted = {}
    for number, name in enumerate(HOSTILE_NAMES):
        for folder in (tree, tree / "sub folder" / "deep"):
            path = folder / name
            path.write_bytes(f"{number} {folder.name}".encode())
            wanted[str(path.relative_to(tree))] = path.read_bytes()

    assert remote.run("put", "-r", str(tree), remote.url).code == 0
    listed = {row["path"].partition("tree/")[2]: row for row in remote.run("ls", "-r", "--json", remote.url).rows}
    assert remote.run("get", "-r", f"{remote.url}tree", str(tmp_path / "back")).code == 0

    back = tmp_path / "back"
    assert {str(path.relative_to(back)): path.read_bytes() for path in back.rglob("*") if path.is_file()} == wanted
    assert {path for path, row in listed.items() if row["kind"] == "file"} == set(wanted)
    for name, content in wanted.items():
        assert remote.run("stat", "--json", listed[name]["url"]).row["size"] == len(content)


@pytest.mark.parametrize("policy", ["skip", "overwrite", "rename"])
def test_a_clash_on_the_server_is_decided_by_the_policy(remote: Remote, tmp_path: Path, policy: str) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes(b"old")
    remote.run("put", str(file), remote.url)
    file.write_bytes(b"newer")

    refused = remote.run("put", str(file), remote.url)
    assert refused.code == 2
    assert "--policy" in refused.sentence()
    assert remote.run("put", "--policy", policy, str(file), remote.url).code == 0

    assert remote.run("get", "--policy", "overwrite", f"{remote.url}x.txt", str(file)).code == 0
    assert file.read_bytes() == (b"newer" if policy == "overwrite" else b"old")
    assert len(remote.names()) == (2 if policy == "rename" else 1)


def test_copies_between_servers_of_different_kinds(
    cli: CommandLine, connect: Callable[[str, CommandLine, int | None], Remote], tmp_path: Path
) -> None:
    sftp, s3 = connect("sftp", cli, None), connect("s3", cli, None)
    both = s3.cli.with_options(*sftp.cli.options, *s3.cli.options)
    content = os.urandom(1_000_000)
    (tmp_path / "x.bin").write_bytes(content)
    sftp.run("put", str(tmp_path / "x.bin"), sftp.url)

    assert both.run("cp", f"{sftp.url}x.bin", f"{s3.url}copied.bin") == Ended(0, "", "")
    assert both.run("mv", f"{s3.url}copied.bin", f"{sftp.url}moved.bin") == Ended(0, "", "")

    assert s3.names() == []
    assert sftp.names() == ["moved.bin", "x.bin"]
    sftp.run("get", f"{sftp.url}moved.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == content


def test_a_bucket_can_be_made_by_its_address(s3_server: S3Address, cli: CommandLine) -> None:
    bucket = f"made-{uuid.uuid4().hex}"
    remote = s3_remote(s3_server, cli, bucket=bucket)

    assert remote.run("mkdir", f"s3://{bucket}") == Ended(0, "", "")

    assert bucket in [one["Name"] for one in s3_client(s3_server).list_buckets()["Buckets"]]
    assert remote.run("mkdir", f"s3://{bucket}").code == 1


# -- what fails ------------------------------------------------------------------------------------------------------


def test_what_is_not_there_is_exit_3_and_named(remote: Remote, tmp_path: Path) -> None:
    for words in (("ls", f"{remote.url}nope/"), ("stat", f"{remote.url}nope"), ("rm", "-y", f"{remote.url}nope"),
                  ("get", f"{remote.url}nope", str(tmp_path)), ("cp", f"{remote.url}nope", f"{remote.url}x")):  # fmt: skip
        ended = remote.run(*words)
        assert ended.code == 3, (words, ended)
        assert "nope" in ended.sentence()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_there_is_exit_5(
    kind: str, cli: CommandLine, connect: Callable[[str, CommandLine, int | None], Remote]
) -> None:
    port = free_port()
    if kind == "azure":
        options = ("--option", f"endpoint=http://{HOST}:{port}/account", "--secret-stdin", "key")
        remote = Remote(cli.with_options(*options), "azure://account/container/", "a2V5\n")
    else:
        remote = connect(kind, cli, port)

    ended = remote.run("ls", remote.url)

    assert ended.code == 5
    assert f"{HOST}:{port}" in ended.sentence()


def test_a_wrong_secret_is_exit_4(s3_server: S3Address, azure_server: AzureAddress, cli: CommandLine) -> None:
    wrong = "canary0wrong0secret"
    s3 = s3_remote(s3_server, cli, identity=Identity(s3_server.admin.access_key, wrong))
    azure = azure_remote(azure_server, cli, key="Y2FuYXJ5MHdyb25n")

    for remote in (s3, azure):
        ended = remote.run("ls", remote.url)
        assert ended.code == 4
        assert "refused" in ended.sentence()


def test_what_the_account_may_not_do_is_exit_4(
    s3_server: S3Address, read_only_sshd_server: SshdAddress, cli: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "x.txt").write_bytes(b"x")
    nobody = s3_remote(s3_server, cli, identity=s3_server.nobody)
    reader = sftp_remote(read_only_sshd_server, cli)

    assert nobody.run("ls", nobody.url).code == 4
    for remote in (nobody, reader):
        ended = remote.run("put", str(tmp_path / "x.txt"), remote.url)
        assert ended.code == 4
        assert "x.txt" in ended.sentence()


def test_a_missing_bucket_is_named(s3_server: S3Address, cli: CommandLine) -> None:
    bucket = f"none-{uuid.uuid4().hex}"
    remote = s3_remote(s3_server, cli, bucket=bucket)

    ended = remote.run("ls", remote.url)

    assert ended.code == 3
    assert bucket in ended.sentence()


def test_no_way_to_sign_in_says_how_to_give_one(
    s3_server: S3Address, sshd_server: SshdAddress, cli: CommandLine
) -> None:
    s3 = cli.with_options("--option", f"endpoint={s3_server.endpoint}")
    sftp = cli.with_options("--option", f"known_hosts={sshd_server.known_hosts_file}")
    for one, url in ((s3, "s3://bucket/"), (sftp, f"sftp://{sshd_server.username}@{HOST}:{sshd_server.port}/")):
        ended = one.run("ls", url)
        assert ended.code == 4
        assert "--ask" in ended.sentence()


def test_some_failures_are_exit_1_and_the_others_are_done(remote: Remote, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "good").write_bytes(b"x")
    (tree / "loop").symlink_to(tree, target_is_directory=True)

    ended = remote.run("put", "-r", "--json", str(tree), remote.url)

    assert ended.code == 1
    assert (ended.row["files_done"], ended.row["files_failed"]) == (1, 1)
    assert "“loop”" in ended.sentence()
    assert ended.row["failures"][0]["message"] in ended.err
    assert remote.names("tree/") == ["good"]


# -- host keys -------------------------------------------------------------------------------------------------------


def test_an_unknown_host_key_is_refused_without_a_person(sshd_server: SshdAddress, cli: CommandLine) -> None:
    stranger = cli.with_options("--option", f"key_filename={sshd_server.key_file}")

    ended = stranger.run("ls", f"sftp://{sshd_server.username}@{HOST}:{sshd_server.port}/")

    assert ended.code == 4
    assert "SHA256:" in ended.sentence()
    assert not (cli.home / ".config" / "kegbrowser" / "known_hosts").exists()


def test_a_person_can_trust_a_host_key_once_for_all(sshd_server: SshdAddress, cli: CommandLine) -> None:
    remote = sftp_remote(sshd_server, cli)
    stranger = cli.with_options("--option", f"key_filename={sshd_server.key_file}")

    screen, code = stranger.at_terminal(["ls", remote.url], [("Trust", "no\n")])
    assert code == 4
    assert "SHA256:" in screen
    _screen, code = stranger.at_terminal(["ls", remote.url], [("Trust", "yes\n")])
    assert code == 0

    assert stranger.run("ls", remote.url).code == 0
    known_hosts = cli.home / ".config" / "kegbrowser" / "known_hosts"
    assert known_hosts.stat().st_mode & 0o777 == 0o600
    assert known_hosts.read_text() == Path(sshd_server.known_hosts_file).read_text()


def test_a_changed_host_key_is_never_trusted(
    sshd_server: SshdAddress, read_only_sshd_server: SshdAddress, cli: CommandLine
) -> None:
    other_key = Path(read_only_sshd_server.known_hosts_file).read_text().split()[2]
    known_hosts = cli.home / "changed"
    known_hosts.write_text(f"[{HOST}]:{sshd_server.port} ssh-ed25519 {other_key}\n")
    options = ("--option", f"key_filename={sshd_server.key_file}", "--option", f"known_hosts={known_hosts}")
    changed = cli.with_options(*options)

    screen, code = changed.at_terminal(["ls", f"sftp://{sshd_server.username}@{HOST}:{sshd_server.port}/"])

    assert code == 4
    assert "Trust" not in screen


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_on_the_command_line_is_refused(cli: CommandLine) -> None:
    ended = cli.run("ls", "--option", "secret_access_key=canary-77", "s3://bucket/")

    assert ended.code == 2
    assert "--secret-stdin" in ended.sentence()
    assert "canary-77" not in ended.err


def test_a_secret_is_asked_for_without_being_shown(s3_server: S3Address, cli: CommandLine) -> None:
    remote = s3_remote(s3_server, cli)
    key = ("--option", f"access_key_id={s3_server.admin.access_key}", "--option", f"endpoint={s3_server.endpoint}")

    screen, code = cli.with_options(*key).at_terminal(
        ["ls", remote.url], [("Secret access key", f"{s3_server.admin.secret_key}\n")]
    )

    assert code == 0
    assert s3_server.admin.secret_key not in screen


def test_a_piped_secret_is_in_no_argument_variable_file_or_log(azure_server: AzureAddress, cli: CommandLine) -> None:
    with FaultyProxy(azure_server.port) as proxy:
        remote = azure_remote(azure_server, cli, proxy.port)
        proxy.faults.stall_down_after = 0
        before = proxy.bytes_up
        running = remote.cli.start("ls", "--debug", remote.url, stdin=remote.stdin)
        wait_until(lambda: proxy.bytes_up > before, "The request")
        process = Path("/proc") / str(running.pid)
        seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        ended = interrupt(running)

    files = b"".join(path.read_bytes() for path in cli.home.rglob("*") if path.is_file())
    assert ended.code == 130
    assert azure_server.key.encode() not in seen + ended.out.encode() + ended.err.encode() + files


# -- Ctrl+C ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_in_a_download_leaves_no_part_file(
    kind: str,
    cli: CommandLine,
    connect: Callable[[str, CommandLine, int | None], Remote],
    server_port: Callable[[str], int],
    tmp_path: Path,
) -> None:
    (tmp_path / "big.bin").write_bytes(os.urandom(8 << 20))
    target = tmp_path / "target"
    target.mkdir()
    with FaultyProxy(server_port(kind)) as proxy:
        remote = connect(kind, cli, proxy.port)
        assert remote.run("put", str(tmp_path / "big.bin"), remote.url).code == 0
        proxy.faults.bytes_per_s = 200_000
        running = remote.cli.start("get", f"{remote.url}big.bin", str(target), stdin=remote.stdin)
        wait_until(lambda: any(target.iterdir()), "The download's start")

        began = time.monotonic()
        ended = interrupt(running)
        took_s = time.monotonic() - began

    assert (ended.code, ended.out, ended.err) == (130, "", "Cancelled.\n")
    assert took_s < 2
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_in_an_upload_leaves_nothing_on_the_server(
    kind: str,
    cli: CommandLine,
    connect: Callable[[str, CommandLine, int | None], Remote],
    server_port: Callable[[str], int],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    (tmp_path / "big.bin").write_bytes(os.urandom(64 << 20))
    with FaultyProxy(server_port(kind)) as proxy:
        remote = connect(kind, cli, proxy.port)
        proxy.faults.bytes_per_s = 2_000_000
        before = proxy.bytes_up
        running = remote.cli.start("put", str(tmp_path / "big.bin"), remote.url, stdin=remote.stdin)
        wait_until(lambda: proxy.bytes_up > before + 1_000_000, "The upload's start")

        began = time.monotonic()
        ended = interrupt(running)
        took_s = time.monotonic() - began

        assert (ended.code, ended.err) == (130, "Cancelled.\n")
        assert took_s < 3
        proxy.faults.bytes_per_s = 0
        assert remote.names() == []
    if kind == "s3":
        bucket = remote.url.removeprefix("s3://").rstrip("/")
        assert not s3_client(request.getfixturevalue("s3_server")).list_multipart_uploads(Bucket=bucket).get("Uploads")


# -- saved connections -----------------------------------------------------------------------------------------------


def test_a_saved_connection_takes_its_secret_from_the_keyring(
    s3_server: S3Address, secret_service: KeyringAddress, cli: CommandLine
) -> None:
    remote = s3_remote(s3_server, cli)
    options = {
        "endpoint": s3_server.endpoint,
        "auth": "keys",
        "access_key_id": s3_server.admin.access_key,
        "secret_access_key": s3_server.admin.secret_key,
    }
    save = (
        "import json, sys\n"
        "from kegbrowser.profiles import specs\n"
        "from kegbrowser.profiles.connections import Connection, ConnectionStore\n"
        "from kegbrowser.profiles.places import Places\n"
        "from kegbrowser.profiles.secrets import SecretStore\n"
        "options = json.load(sys.stdin)\n"
        "store = ConnectionStore(Places.of_user().connections_file)\n"
        "print(specs.save(Connection.new('s3', 'My S3', options), options, store, SecretStore())[1].value)"
    )
    with_keyring = cli.with_options(environment=secret_service.env)
    bucket = remote.url.removeprefix("s3://")

    kept = with_keyring.python(save, stdin=json.dumps(options))

    assert kept.out == "keyring\n", kept.err
    for address in (f"My S3:{bucket}", remote.url):
        assert with_keyring.run("ls", address) == Ended(0, "", "")
    without = cli.with_options(environment={"DBUS_SESSION_BUS_ADDRESS": f"unix:path={cli.home}/none"})
    ended = without.run("ls", f"My S3:{bucket}")
    assert ended.code == 2
    assert "Secret access key" in ended.sentence()
    with_keyring.python(
        "from kegbrowser.profiles.connections import ConnectionStore\n"
        "from kegbrowser.profiles.places import Places\n"
        "from kegbrowser.profiles.secrets import SecretStore\n"
        "from kegbrowser.profiles import specs\n"
        "store = ConnectionStore(Places.of_user().connections_file)\n"
        "specs.forget(store.load()[0], store, SecretStore())"
    )
