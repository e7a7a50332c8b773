"""Is this the server it should be? Its host key against the known ones; nothing is ever added here."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko

from kegbrowser.backends.errors import HostKeyChanged, UnknownHostKey

SSH_PORT = 22
REVOKED = "@revoked"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line of a known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

    Attributes:
        marker: "" or `@revoked`. Authorities that sign host keys (`@cert-authority`) are not known here.
        hosts: as written: patterns parted by commas, or one hashed name.
        kind: of the key, as `ssh-ed25519`.
        key: the public key.
    """

    marker: str
    hosts: str
    kind: str
    key: bytes

    def is_of(self, host: str) -> bool:
        """Whether the line is about this host, as `host_name` gives it."""
        if self.hosts.startswith("|1|"):
            return _is_hash_of(self.hosts, host)
        patterns = [pattern.lower() for pattern in self.hosts.split(",") if pattern]
        if any(_matches(host, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
            return False
        return any(_matches(host, pattern) for pattern in patterns if not pattern.startswith("!"))


def known_keys(files: Iterable[str], lines: Iterable[str], host: str, port: int) -> tuple[KnownKey, ...]:
    """What is known of a host, by known_hosts files and single lines; what is missing or malformed is passed over."""
    name = host_name(host, port)
    return tuple(known for known in _parse_all(files, lines) if known.is_of(name))


def host_name(host: str, port: int) -> str:
    """The host as it stands in a known_hosts file."""
    return host.lower() if port == SSH_PORT else f"[{host.lower()}]:{port}"


def kinds_of(known: Iterable[KnownKey]) -> list[str]:
    """The kinds of host key to ask for first, so that a known one is the one that comes."""
    kinds = [one.kind for one in known if not one.marker]
    if "ssh-rsa" in kinds:  # the same keys, with better signatures (RFC 8332)
        kinds += ["rsa-sha2-512", "rsa-sha2-256"]
    return kinds


def check(known: Iterable[KnownKey], host: str, port: int, key: paramiko.PKey) -> None:
    """Compare the key that a server showed.

    Raises:
        UnknownHostKey: none is known of this host.
        HostKeyChanged: other ones are known of it, or this one is revoked.
    """
    name, shown, known = host_name(host, port), key.asbytes(), tuple(known)
    fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(shown).digest()).decode().rstrip("=")
    facts = {"host": name, "key_type": key.get_name(), "key_base64": key.get_base64(), "fingerprint": fingerprint}
    same = [one for one in known if one.key == shown]
    if any(one.marker == REVOKED for one in same):
        raise HostKeyChanged(f"The host key of {name} is marked as revoked: {fingerprint}.", **facts)
    if same:
        return
    if any(not one.marker for one in known):
        raise HostKeyChanged(f"The host key of {name} is not the one that is known: {fingerprint}.", **facts)
    raise UnknownHostKey(f"The host key of {name} is not known: {fingerprint}.", **facts)


def _parse_all(files: Iterable[str], lines: Iterable[str]) -> Iterator[KnownKey]:
    for text in lines:
        yield from _parse(text)
    for file in files:
        try:
            texts = Path(file).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for text in texts:
            yield from _parse(text)


def _parse(text: str) -> Iterator[KnownKey]:
    words = text.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#") or marker not in ("", REVOKED):
        return
    try:
        key = base64.b64decode(words[2], validate=True)
    except binascii.Error:
        return
    yield KnownKey(marker, words[0], words[1], key)


def _matches(host: str, pattern: str) -> bool:
    # Only * and ? are special in known_hosts; a pattern of fnmatch has [ as well.
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), host) is not None


def _is_hash_of(hashed: str, host: str) -> bool:
    _empty, _version, salt, digest = (*hashed.split("|"), "", "")[:4]
    try:
        expected = hmac.new(base64.b64decode(salt), host.encode(), "sha1").digest()
        return hmac.compare_digest(base64.b64decode(digest), expected)
    except binascii.Error:
        return False
