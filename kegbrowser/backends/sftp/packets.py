"""Packets of SSH with the content of a channel: built where they are sent from, and eight of them with one write."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import paramiko
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.packet import Packetizer

PACKETS_TOGETHER = 8
"""Of 32 KiB: one request of 255 KiB."""

MAX_PIECE_BYTES = 64 * 1024
BLOCK_BYTES, TAG_BYTES = 16, 16
_CHANNEL_DATA = 94
_HEAD = struct.Struct(">BBII")


class Train(paramiko.Message):
    """Content of a channel that goes out as some messages without a gap.

    Args:
        channel: the server's number of it.
        pieces: the content.
        sizes: of the messages.
    """

    def __init__(self, channel: int, pieces: Sequence[memoryview], sizes: Sequence[int]) -> None:
        super().__init__()
        self.channel = channel
        self.pieces = pieces
        self.sizes = sizes

    def messages(self) -> list[paramiko.Message]:
        """As paramiko has them."""
        content = memoryview(b"".join(self.pieces))
        found = []
        for size in self.sizes:
            message = paramiko.Message()
            message.add_byte(paramiko.common.cMSG_CHANNEL_DATA)
            message.add_int(self.channel)
            message.add_string(bytes(content[:size]))
            content = content[size:]
            found.append(message)
        return found


class GatheringPacketizer(Packetizer):
    """Writes what belongs together in one go. Any thread may send; one reads.

    paramiko copies the content of a packet seven times on its way and calls the kernel twice for it: with 1 GiB that is as much
    work as all else together. With AES-GCM, which every newer server takes, it is copied once here.
    """

    # RFC 4344, section 3.2, allows 2**32 blocks of 16 bytes with one key, which is what OpenSSH takes. A new key costs a tenth of
    # a second, and paramiko would have one for each half GiB.
    REKEY_BYTES = 2**34
    REKEY_PACKETS = 2**31 - 1

    def __init__(self, raw: socket.socket) -> None:
        super().__init__(raw)
        self._order = threading.RLock()
        self._plain = memoryview(bytearray(MAX_PIECE_BYTES + 64))
        self._sealed = memoryview(bytearray(PACKETS_TOGETHER * (MAX_PIECE_BYTES + 128)))

    def send_message(self, data: paramiko.Message) -> None:
        with self._order:
            if not isinstance(data, Train):
                super().send_message(data)
            elif self._can_seal(data):
                self._send_sealed(data)
            else:
                for message in data.messages():
                    super().send_message(message)

    def _can_seal(self, train: Train) -> bool:
        own: Any = self
        return (
            getattr(own, "_Packetizer__aead_out", False)
            and getattr(own, "_Packetizer__compress_engine_out", True) is None
            and isinstance(getattr(own, "_Packetizer__block_engine_out", None), AESGCM)
            and hasattr(AESGCM, "encrypt_into")  # cryptography 47
            and len(train.sizes) <= PACKETS_TOGETHER
            and max(train.sizes) <= MAX_PIECE_BYTES
        )

    def _send_sealed(self, train: Train) -> None:
        """RFC 5647, section 7.3: the length in the open, then all else under AES-GCM with a counter for its nonce."""
        own: Any = self
        engine, nonce = own._Packetizer__block_engine_out, own._Packetizer__iv_out
        pieces, plain, sealed = deque(train.pieces), self._plain, self._sealed
        noise = os.urandom(2 * BLOCK_BYTES)
        at = 0
        for size in train.sizes:
            padding = 3 + BLOCK_BYTES - (size + _HEAD.size - 1 + 4) % BLOCK_BYTES
            length = _HEAD.size + size + padding
            _HEAD.pack_into(plain, 0, padding, _CHANNEL_DATA, train.channel, size)
            _fill(plain[_HEAD.size : _HEAD.size + size], pieces)
            plain[_HEAD.size + size : length] = noise[:padding]
            told = length.to_bytes(4, "big")
            end = at + 4 + length + TAG_BYTES
            sealed[at : at + 4] = told
            engine.encrypt_into(nonce, plain[:length], told, sealed[at + 4 : end])
            nonce = own._inc_iv_counter(nonce)
            at = end
        own._Packetizer__iv_out = nonce
        count = len(train.sizes)
        own._Packetizer__sequence_number_out = (own._Packetizer__sequence_number_out + count) & 0xFFFFFFFF
        own._Packetizer__sent_bytes += at
        own._Packetizer__sent_packets += count
        self.write_all(sealed[:at])
        if own._Packetizer__sent_bytes >= self.REKEY_BYTES and not self.need_rekey():
            own._Packetizer__received_bytes_overflow = own._Packetizer__received_packets_overflow = 0
            own._trigger_rekey()


def send_all(channel: paramiko.Channel, pieces: Sequence[bytes | memoryview]) -> None:
    """Send all of it over a channel, as `Channel.sendall`, in few writes.

    Raises:
        EOFError: the channel is closed.
        TimeoutError: the other side takes nothing for as long as the channel's timeout.
    """
    rest = deque(memoryview(piece) for piece in pieces)
    missing = sum(map(len, rest))
    while missing:
        sizes: list[int] = []
        with channel.lock:
            if channel.closed:
                raise EOFError
            while missing and len(sizes) < PACKETS_TOGETHER and (not sizes or channel.out_window_size > 0):
                size = channel._wait_for_send_window(missing)  # type: ignore[attr-defined]
                if size == 0:
                    raise EOFError
                sizes.append(size)
                missing -= size
        train = Train(channel.remote_chanid, _taken(rest, sum(sizes)), sizes)
        # Not while the lock is held: a new key may be agreed on meanwhile.
        channel.get_transport()._send_user_message(train)  # type: ignore[attr-defined]


def _taken(rest: deque[memoryview], size: int) -> list[memoryview]:
    """The next bytes, which are taken away from those that are left."""
    pieces = []
    while size:
        piece = rest.popleft()
        if len(piece) > size:
            rest.appendleft(piece[size:])
            piece = piece[:size]
        pieces.append(piece)
        size -= len(piece)
    return pieces


def _fill(room: memoryview, rest: deque[memoryview]) -> None:
    for piece in _taken(rest, len(room)):
        room[: len(piece)] = piece
        room = room[len(piece) :]
