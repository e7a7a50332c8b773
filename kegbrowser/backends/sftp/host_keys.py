"""Is this the server it should be? Host keys against the known ones; nothing is ever added here."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path

import paramiko

from kegbrowser.backends.errors import HostKeyChanged, UnknownHostKey

SSH_PORT = 22


def load_known(files: Iterable[str], lines: Iterable[str]) -> paramiko.HostKeys:
    """All known keys of some known_hosts files and single lines; what is missing or malformed is passed over."""
    known = paramiko.HostKeys()
    texts = [*lines]
    for file in files:
        try:
            texts += Path(file).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
    for text in texts:
        line = text.strip()
        if not line or line.startswith(("#", "@")):
            continue
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
        except (paramiko.SSHException, ValueError):
            continue
        if entry is not None and entry.key is not None:
            for name in entry.hostnames:
                known.add(name, entry.key.get_name(), entry.key)
    return known


def host_name(host: str, port: int) -> str:
    """The host as it stands in a known_hosts file."""
    return host if port == SSH_PORT else f"[{host}]:{port}"


def known_types(known: paramiko.HostKeys, host: str, port: int) -> list[str]:
    """Types of the keys that are known of a host: to be asked for first, so that a known key is the one that comes."""
    found = known.lookup(host_name(host, port))
    return list(found.keys()) if found is not None else []


def check(known: paramiko.HostKeys, host: str, port: int, key: paramiko.PKey) -> None:
    """Compare the key a server showed.

    Raises:
        UnknownHostKey: none is known of this host.
        HostKeyChanged: other ones are known of it.
    """
    name = host_name(host, port)
    if known.check(name, key):
        return
    fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    others = known.lookup(name)
    facts = {"host": name, "key_type": key.get_name(), "key_base64": key.get_base64(), "fingerprint": fingerprint}
    if others:
        raise HostKeyChanged(f"The host key of {name} is not the one that is known: {fingerprint}.", **facts)
    raise UnknownHostKey(f"The host key of {name} is not known: {fingerprint}.", **facts)
