"""Packets of SSH that go out together: one write for eight of them, where paramiko makes eight."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import paramiko
from paramiko.packet import Packetizer

if TYPE_CHECKING:
    from typing_extensions import Buffer

PACKETS_TOGETHER = 8
"""Of 32 KiB: one request of 255 KiB."""


class Train(paramiko.Message):
    """Messages that follow each other without a gap."""

    def __init__(self, messages: Sequence[paramiko.Message]) -> None:
        super().__init__()
        self.messages = messages


class GatheringPacketizer(Packetizer):
    """Writes what belongs together in one go. Any thread may send; one reads."""

    # RFC 4344, section 3.2, allows 2**32 blocks of 16 bytes with one key, which is what OpenSSH takes. A new key costs a tenth of
    # a second, and paramiko would have one for each half GiB.
    REKEY_BYTES = 2**34
    REKEY_PACKETS = 2**31 - 1

    def __init__(self, raw: socket.socket) -> None:
        super().__init__(raw)
        self._order = threading.RLock()
        self._together: list[bytes] | None = None

    def send_message(self, data: paramiko.Message) -> None:
        with self._order:
            if not isinstance(data, Train):
                super().send_message(data)
                return
            self._together = []
            try:
                for message in data.messages:
                    super().send_message(message)
                packets = self._together
            finally:
                self._together = None
            super().write_all(b"".join(packets))

    def write_all(self, out: Buffer) -> None:
        if self._together is not None:
            self._together.append(bytes(out))
        else:
            super().write_all(out)


def send_all(channel: paramiko.Channel, content: bytes) -> None:
    """Send all of it over a channel, as `Channel.sendall`, in few writes.

    Raises:
        EOFError: the channel is closed.
        TimeoutError: the other side takes nothing for as long as the channel's timeout.
    """
    rest = memoryview(content)
    while rest:
        messages: list[paramiko.Message] = []
        with channel.lock:
            if channel.closed:
                raise EOFError
            while rest and len(messages) < PACKETS_TOGETHER and (not messages or channel.out_window_size > 0):
                size = channel._wait_for_send_window(len(rest))  # type: ignore[attr-defined]
                if size == 0:
                    raise EOFError
                message = paramiko.Message()
                message.add_byte(paramiko.common.cMSG_CHANNEL_DATA)
                message.add_int(channel.remote_chanid)
                message.add_string(bytes(rest[:size]))
                messages.append(message)
                rest = rest[size:]
        # Not while the lock is held: a new key may be agreed on meanwhile.
        channel.get_transport()._send_user_message(Train(messages))  # type: ignore[attr-defined]
