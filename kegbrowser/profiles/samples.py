"""Small files of many kinds, made by hand: real ones, which the programs for them open."""

from __future__ import annotations

import io
import math
import struct
import tarfile
import zipfile
import zlib
from array import array
from collections.abc import Mapping

_EPOCH_1980 = (1980, 1, 1, 0, 0, 0)


def png(width: int, height: int) -> bytes:
    """A colour gradient as PNG (RFC 2083): 8 bits RGB, no filter."""
    rows = b"".join(b"\0" + _gradient_row(y, width, height) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def bmp(width: int, height: int) -> bytes:
    """A colour gradient as an uncompressed 24 bit BMP; rows go from the bottom up and are padded to four bytes."""
    padding = bytes(-width * 3 % 4)
    body = b"".join(_gradient_row(y, width, height) + padding for y in reversed(range(height)))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(body), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + header + body


def wav(seconds: float, *, pitch_hz: float = 440.0, rate_hz: int = 22050) -> bytes:
    """A sine tone that fades out: 16 bit mono PCM in a RIFF file."""
    count = int(seconds * rate_hz)
    step = 2 * math.pi * pitch_hz / rate_hz
    samples = array("h", (int(12000 * math.sin(step * i) * (1 - i / count)) for i in range(count)))
    body = struct.pack(f"<{count}h", *samples)
    layout = struct.pack("<HHIIHH", 1, 1, rate_hz, rate_hz * 2, 2, 16)
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def pdf(title: str, lines: tuple[str, ...]) -> bytes:
    """One page of text in a standard font (ISO 32000-1, annex H.2); ASCII only."""
    text = f"BT /F1 24 Tf 72 760 Td ({_pdf_text(title)}) Tj /F1 12 Tf"
    text += "".join(f" 0 -{28 if index == 0 else 18} Td ({_pdf_text(line)}) Tj" for index, line in enumerate(lines))
    stream = f"{text} ET".encode("ascii")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    )
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return out.getvalue()


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """A ZIP archive of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH_1980), content)
    return out.getvalue()


def tar_gz_of(files: Mapping[str, bytes]) -> bytes:
    """A gzipped TAR archive of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def noise(size_bytes: int) -> bytes:
    """Bytes that do not compress, always the same."""
    state = 0x9E3779B97F4A7C15
    block = bytearray()
    for _ in range(8192):  # 64 KiB by xorshift64, then varied by a key of eight bytes a block
        state ^= (state << 13) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 7
        state ^= (state << 17) & 0xFFFFFFFFFFFFFFFF
        block += state.to_bytes(8, "little")
    plain = int.from_bytes(block, "little")
    out = bytearray()
    for number in range(-(-size_bytes // len(block))):
        key = int.from_bytes(zlib.crc32(struct.pack("<I", number)).to_bytes(4, "little") * (len(block) // 4), "little")
        out += (plain ^ key).to_bytes(len(block), "little")
    return bytes(out[:size_bytes])


def _gradient_row(y: int, width: int, height: int) -> bytes:
    """One row of three bytes a pixel: the first channel grows to the right, the second downwards, the third is their sum."""
    down = y * 255 // max(height - 1, 1)
    row = bytearray(width * 3)
    across = bytes(x * 255 // max(width - 1, 1) for x in range(width))
    row[0::3] = across
    row[1::3] = bytes((down,)) * width
    row[2::3] = bytes((value + down) // 2 for value in across)
    return bytes(row)


def _pdf_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
