"""Where something is: paths within a connection, and URLs that people type.

URLs: `s3://bucket/key`, `azure://account/container/blob`, `sftp://user@host:22/path`, `local:///path`. Keys are
percent-encoded in URLs (RFC 3986, UTF-8) and exact when taken apart again: `a//b`, a leading "/" and `..` survive.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from kegbrowser.backends.base import ListEntry, as_folder, split_path
from kegbrowser.backends.errors import InvalidOptions

SCHEMES = ("s3", "azure", "sftp", "local", "memory")
_SAFE = "/-._~!$'()*,;:@&=+"


@dataclass(frozen=True, slots=True)
class RemotePath:
    """A file or folder of one connection.

    Attributes:
        connection_id: which connection; "" outside any.
        path: exact, as the connection's backend takes it; a folder's is "" or ends in "/".
        is_folder: told apart here because an object store's file may end in "/" as well.
    """

    connection_id: str
    path: str
    is_folder: bool

    @classmethod
    def folder(cls, connection_id: str, path: str = "") -> RemotePath:
        return cls(connection_id, as_folder(path), is_folder=True)

    @classmethod
    def file(cls, connection_id: str, path: str) -> RemotePath:
        return cls(connection_id, path, is_folder=False)

    @property
    def is_root(self) -> bool:
        return self.is_folder and not self.path

    @property
    def name(self) -> str:
        """The last part; "" for the root and for an object store's nameless parts."""
        if not self.is_folder:
            return self.path.rpartition("/")[2]
        return split_path(self.path)[1]

    @property
    def parent(self) -> RemotePath | None:
        """The folder it is in; None for the root."""
        if self.is_root:
            return None
        if not self.is_folder:
            folder, slash, _name = self.path.rpartition("/")
            return RemotePath(self.connection_id, folder + slash, is_folder=True)
        return RemotePath(self.connection_id, split_path(self.path)[0], is_folder=True)

    def ancestors(self) -> tuple[RemotePath, ...]:
        """All folders above, from the root down to the parent."""
        above: list[RemotePath] = []
        step = self.parent
        while step is not None:
            above.append(step)
            step = step.parent
        return tuple(reversed(above))

    def child(self, entry: ListEntry) -> RemotePath:
        """The path of an entry that was listed (not recursively or recursively) in this folder."""
        return RemotePath(self.connection_id, entry.path_in(self.path), is_folder=entry.is_folder)

    def join(self, name: str, *, is_folder: bool) -> RemotePath:
        """The path of something called `name` in this folder."""
        return RemotePath(self.connection_id, f"{self.path}{name}{'/' if is_folder else ''}", is_folder)

    def is_within(self, folder: RemotePath) -> bool:
        """Whether this is `folder` itself or somewhere below it."""
        return self.connection_id == folder.connection_id and self.path.startswith(folder.path)


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed URL.

    Attributes:
        scheme: one of SCHEMES.
        authority: S3 bucket, Azure account, SFTP host; "" for local.
        username: SFTP user; "" elsewhere.
        port: SFTP port; None if not given.
        path: what follows the authority's "/", decoded and exact: an S3 key, an Azure `container/blob`, an SFTP or local
            path below "/".
    """

    scheme: str
    authority: str
    path: str = ""
    username: str = ""
    port: int | None = None

    @classmethod
    def parse(cls, url: str) -> Location:
        """Take a URL apart.

        Raises:
            InvalidOptions: not a URL of a known scheme, a password in it, or a bad port; the text says which. The message
                never holds the part before an "@".
        """
        scheme, separator, rest = url.strip().partition("://")
        _bytes_of(rest)  # refuses what has no bytes
        scheme = scheme.lower()
        if not separator or scheme not in SCHEMES:
            raise InvalidOptions(
                "This is not an address Kegbrowser knows.",
                hint="Write s3://bucket/key, azure://account/container/blob or sftp://user@host:22/path.",
            )
        authority, _slash, encoded = rest.partition("/")
        path = _decode(encoded)
        username, at, host = authority.rpartition("@")
        if ":" in username:
            raise InvalidOptions(
                "The address holds a password.",
                hint="Leave it out: the password is asked for and kept in the keyring.",
            )
        if scheme != "sftp" and at:
            raise InvalidOptions("Only SFTP addresses have a user name.", hint=f"Write {scheme}://name/path.")
        port = None
        if scheme == "sftp":
            host, port = _split_port(host)
        if not host and scheme not in ("local", "memory"):
            raise InvalidOptions(f"The address names no {_AUTHORITY_WORD[scheme]}.", hint="Complete the address.")
        return cls(scheme, _decode(host), path, _decode(username), port)

    def url(self) -> str:
        """The URL that `parse` turns into this location.

        Raises:
            InvalidOptions: a name holds half a surrogate pair, which has no bytes (PEP 383 escapes have).
        """
        user = f"{quote(_bytes_of(self.username), safe='')}@" if self.username else ""
        is_address = self.scheme == "sftp" and ":" in self.authority  # IPv6
        authority = quote(_bytes_of(self.authority), safe=":" if is_address else "")
        host = f"[{authority}]" if is_address else authority
        port = f":{self.port}" if self.port is not None else ""
        path = quote(_bytes_of(self.path), safe=_SAFE)
        return f"{self.scheme}://{user}{host}{port}/{path}"


_AUTHORITY_WORD = {"s3": "bucket", "azure": "account", "sftp": "host"}


def _bytes_of(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidOptions(
            "The address holds a letter that cannot be stored anywhere.", hint="Type the address anew."
        ) from None


def _decode(text: str) -> str:
    return unquote_to_bytes(_bytes_of(text)).decode("utf-8", "surrogateescape")


def _split_port(host: str) -> tuple[str, int | None]:
    """The text is never repeated in an error: behind a colon people write passwords."""
    if host.startswith("["):  # an IPv6 address
        address, _bracket, rest = host[1:].partition("]")
        port_text = rest.removeprefix(":")
    else:
        address, _colon, port_text = host.partition(":")
    if not port_text:
        return address, None
    if not (port_text.isascii() and port_text.isdecimal() and len(port_text) <= 5 and 0 < int(port_text) < 65536):
        raise InvalidOptions(
            "What follows the colon in the address is not a port.", hint="A port is a number from 1 to 65535."
        )
    return address, int(port_text)
