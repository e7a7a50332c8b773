"""What kind of file a name stands for: an icon and a text, by its ending. Pure and fast."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QCoreApplication

_KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "file-text": ("Text", {"txt": "Text", "md": "Markdown text", "log": "Log file", "rst": "Text", "tex": "TeX document",
        "ini": "Settings", "cfg": "Settings", "conf": "Settings", "rtf": "Rich text"}),
    "file-code": ("Source code", {"py": "Python source", "js": "JavaScript source", "ts": "TypeScript source",
        "c": "C source", "h": "C header", "cpp": "C++ source", "hpp": "C++ header", "rs": "Rust source",
        "go": "Go source", "java": "Java source", "cs": "C# source", "rb": "Ruby source", "php": "PHP source",
        "sh": "Shell script", "ps1": "PowerShell script", "sql": "SQL script", "css": "Style sheet", "kt": "Kotlin source",
        "swift": "Swift source", "lua": "Lua source", "r": "R source", "ipynb": "Notebook", "tf": "Terraform source"}),
    "file-image": ("Image", {"png": "PNG image", "jpg": "JPEG image", "jpeg": "JPEG image", "gif": "GIF image",
        "svg": "SVG image", "webp": "WebP image", "bmp": "BMP image", "tif": "TIFF image", "tiff": "TIFF image",
        "ico": "Icon", "heic": "HEIC image", "avif": "AVIF image", "raw": "Raw image", "psd": "Photoshop image"}),
    "file-audio": ("Audio", {"mp3": "MP3 audio", "wav": "WAV audio", "flac": "FLAC audio", "ogg": "Ogg audio",
        "m4a": "MPEG-4 audio", "opus": "Opus audio", "aac": "AAC audio"}),
    "file-video": ("Video", {"mp4": "MPEG-4 video", "mkv": "Matroska video", "webm": "WebM video", "avi": "AVI video",
        "mov": "QuickTime video", "m4v": "MPEG-4 video"}),
    "file-archive": ("Archive", {"zip": "ZIP archive", "gz": "Gzip archive", "tgz": "Tar archive", "tar": "Tar archive",
        "bz2": "Bzip2 archive", "xz": "XZ archive", "zst": "Zstandard archive", "7z": "7-Zip archive",
        "rar": "RAR archive", "jar": "Java archive", "whl": "Python package", "deb": "Debian package", "rpm": "RPM package"}),
    "file-pdf": ("PDF document", {"pdf": "PDF document"}),
    "file-sheet": ("Spreadsheet", {"csv": "CSV table", "tsv": "TSV table", "xls": "Excel workbook",
        "xlsx": "Excel workbook", "ods": "Spreadsheet"}),
    "file-slides": ("Presentation", {"ppt": "PowerPoint slides", "pptx": "PowerPoint slides", "odp": "Presentation"}),
    "file-data": ("Data", {"json": "JSON data", "jsonl": "JSON lines", "yaml": "YAML data", "yml": "YAML data",
        "toml": "TOML data", "xml": "XML data", "parquet": "Parquet table", "avro": "Avro data", "orc": "ORC table",
        "sqlite": "SQLite database", "db": "Database", "npy": "NumPy array", "h5": "HDF5 data"}),
    "file-executable": ("Program", {"exe": "Windows program", "msi": "Windows installer", "appimage": "AppImage program",
        "so": "Library", "dll": "Library", "bin": "Binary file", "bat": "Batch file"}),
    "file-font": ("Font", {"ttf": "TrueType font", "otf": "OpenType font", "woff": "Web font", "woff2": "Web font"}),
    "file-key": ("Key", {"pem": "Certificate or key", "key": "Key", "crt": "Certificate", "cer": "Certificate",
        "pub": "Public key", "p12": "Key store", "gpg": "Encrypted file", "asc": "Signature"}),
    "file-disk": ("Disk image", {"iso": "Disk image", "img": "Disk image", "vhd": "Disk image", "qcow2": "Disk image",
        "vmdk": "Disk image", "dmg": "Disk image"}),
    "file-web": ("Web page", {"html": "Web page", "htm": "Web page", "xhtml": "Web page"}),
    "file": ("File", {"doc": "Word document", "docx": "Word document", "odt": "Text document", "epub": "E-book"}),
}  # fmt: skip

_BY_ENDING = {ending: (icon, text) for icon, (_label, endings) in _KINDS.items() for ending, text in endings.items()}


def icon_name_of(name: str) -> str:
    """Name of the icon for a file."""
    return _of_ending(_ending(name))[0]


def kind_of(name: str, is_folder: bool) -> str:
    """The text of the column Kind, as "PNG image"."""
    return _folder_text() if is_folder else _of_ending(_ending(name))[1]


def _ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if dot and stem and len(ending) <= 10 else ""


@lru_cache(maxsize=4096)
def _of_ending(ending: str) -> tuple[str, str]:
    icon, text = _BY_ENDING.get(ending, ("file", ""))
    if text:
        return icon, QCoreApplication.translate("FileKinds", text)
    if ending.isalnum():
        return icon, QCoreApplication.translate("FileKinds", "%s file").replace("%s", ending.upper())
    return icon, QCoreApplication.translate("FileKinds", "File")


@lru_cache(maxsize=1)
def _folder_text() -> str:
    return QCoreApplication.translate("FileKinds", "Folder")
