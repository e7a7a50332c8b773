"""What kind of file a name stands for: an icon and a text, by its ending. Pure and fast."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QCoreApplication

_KINDS: dict[str, dict[str, str]] = {
    "file-text": {
        "Text": "txt text rst adoc org",
        "Markdown text": "md markdown",
        "Log file": "log out err",
        "Settings": "ini cfg conf config properties env",
        "Patch": "diff patch",
        "Subtitles": "srt vtt sub",
    },
    "file-document": {
        "Word document": "doc docx dot dotx docm",
        "Text document": "odt ott pages wpd",
        "Rich text": "rtf",
        "E-book": "epub mobi azw3 fb2",
        "TeX document": "tex bib sty",
    },
    "file-code": {
        "Python source": "py pyw pyi",
        "JavaScript source": "js mjs cjs jsx",
        "TypeScript source": "ts tsx",
        "C source": "c",
        "C header": "h",
        "C++ source": "cpp cc cxx",
        "C++ header": "hpp hh hxx",
        "C# source": "cs",
        "F# source": "fs",
        "Rust source": "rs",
        "Go source": "go",
        "Java source": "java",
        "Kotlin source": "kt kts",
        "Scala source": "scala",
        "Swift source": "swift",
        "Objective-C source": "m mm",
        "Ruby source": "rb",
        "PHP source": "php",
        "Perl source": "pl pm",
        "Lua source": "lua",
        "R source": "r",
        "Julia source": "jl",
        "Dart source": "dart",
        "Haskell source": "hs",
        "Elixir source": "ex exs",
        "Clojure source": "clj",
        "Zig source": "zig",
        "Shell script": "sh bash zsh fish",
        "PowerShell script": "ps1 psm1",
        "Batch file": "bat cmd",
        "SQL script": "sql",
        "Style sheet": "css scss sass less qss",
        "Component": "vue svelte",
        "Notebook": "ipynb",
        "Terraform source": "tf tfvars hcl",
        "Build file": "mk cmake gradle bazel",
        "Protocol buffers": "proto",
        "User interface": "ui qml",
        "Translation": "po pot",
    },
    "file-image": {
        "PNG image": "png apng",
        "JPEG image": "jpg jpeg jpe jfif",
        "GIF image": "gif",
        "SVG image": "svg svgz",
        "WebP image": "webp",
        "BMP image": "bmp",
        "TIFF image": "tif tiff",
        "HEIC image": "heic heif",
        "AVIF image": "avif",
        "JPEG XL image": "jxl",
        "Icon": "ico icns",
        "Raw image": "raw dng cr2 cr3 nef arw orf rw2",
        "Photoshop image": "psd",
        "GIMP image": "xcf",
        "PostScript image": "eps ai",
        "OpenEXR image": "exr hdr",
    },
    "file-audio": {
        "MP3 audio": "mp3",
        "WAV audio": "wav",
        "FLAC audio": "flac",
        "Ogg audio": "ogg oga",
        "Opus audio": "opus",
        "MPEG-4 audio": "m4a",
        "AAC audio": "aac",
        "AIFF audio": "aif aiff",
        "Windows audio": "wma",
        "MIDI": "mid midi",
        "Playlist": "m3u m3u8 pls",
    },
    "file-video": {
        "MPEG-4 video": "mp4 m4v",
        "Matroska video": "mkv",
        "WebM video": "webm",
        "AVI video": "avi",
        "QuickTime video": "mov",
        "Windows video": "wmv",
        "MPEG video": "mpg mpeg m2ts mts",
        "Flash video": "flv",
        "3GP video": "3gp",
        "Ogg video": "ogv",
    },
    "file-archive": {
        "ZIP archive": "zip",
        "Tar archive": "tar tgz tbz2 txz tzst",
        "Gzip archive": "gz",
        "Bzip2 archive": "bz2",
        "XZ archive": "xz lzma",
        "Zstandard archive": "zst",
        "LZ4 archive": "lz4",
        "7-Zip archive": "7z",
        "RAR archive": "rar",
        "Java archive": "jar war ear",
        "Python package": "whl egg",
        "Debian package": "deb",
        "RPM package": "rpm",
        "Android package": "apk aab",
        "Cabinet": "cab",
    },
    "file-pdf": {"PDF document": "pdf", "PostScript": "ps"},
    "file-sheet": {
        "CSV table": "csv",
        "TSV table": "tsv tab",
        "Excel workbook": "xls xlsx xlsm xlsb",
        "Spreadsheet": "ods numbers",
    },
    "file-slides": {"PowerPoint slides": "ppt pptx pps ppsx", "Presentation": "odp"},
    "file-data": {
        "JSON data": "json json5 geojson",
        "JSON lines": "jsonl ndjson",
        "YAML data": "yaml yml",
        "TOML data": "toml",
        "XML data": "xml xsd xsl xslt plist",
        "Calendar": "ics",
        "Contact": "vcf",
        "Lock file": "lock",
    },
    "file-database": {
        "Parquet table": "parquet",
        "Avro data": "avro",
        "ORC table": "orc",
        "Arrow table": "arrow feather",
        "SQLite database": "sqlite sqlite3 db3",
        "Database": "db mdb accdb dump",
        "NumPy array": "npy npz",
        "HDF5 data": "h5 hdf5 nc",
        "Pickle": "pkl pickle",
        "Model weights": "safetensors onnx pt ckpt gguf",
        "MATLAB data": "mat",
    },
    "file-executable": {
        "Windows program": "exe com scr",
        "Windows installer": "msi msix",
        "AppImage program": "appimage",
        "Library": "so dll dylib a lib",
        "Binary file": "bin o elf",
        "Compiled Python": "pyc",
        "Compiled Java": "class",
        "WebAssembly": "wasm",
        "Desktop entry": "desktop",
    },
    "file-font": {"TrueType font": "ttf ttc", "OpenType font": "otf", "Web font": "woff woff2"},
    "file-key": {
        "Certificate or key": "pem",
        "Certificate": "crt cer der",
        "Certificate request": "csr",
        "Key": "key",
        "Public key": "pub",
        "Key store": "p12 pfx jks kdbx",
        "PuTTY key": "ppk",
        "Encrypted file": "gpg pgp age",
        "Signature": "asc sig minisig",
        "Checksums": "md5 sha1 sha256 sha512 crc",
    },
    "file-disk": {"Disk image": "iso img vhd vhdx qcow2 vmdk vdi dmg ova"},
    "file-web": {"Web page": "html htm xhtml mhtml", "Link": "url webloc", "Web archive": "har warc"},
    "file": {
        "Backup": "bak old orig",
        "Unfinished download": "part crdownload kegpart",
        "Temporary file": "tmp temp swp",
    },
}
"""By icon, then by the text of the column Kind: the endings, in lower case."""

_NAMES: dict[tuple[str, str], str] = {
    ("file-text", "Text"): "readme license licence copying notice authors changelog news todo",
    (
        "file-text",
        "Settings",
    ): ".gitignore .gitattributes .gitconfig .gitmodules .dockerignore .editorconfig .env .npmrc .netrc",
    (
        "file-code",
        "Build file",
    ): "makefile gnumakefile dockerfile containerfile jenkinsfile rakefile gemfile procfile vagrantfile",
    ("file-code", "Shell script"): ".bashrc .bash_profile .profile .zshrc .bash_logout",
    ("file-key", "Key"): "id_rsa id_ed25519 id_ecdsa",
    ("file-key", "Public keys"): "known_hosts authorized_keys",
    ("file-key", "Checksums"): "md5sums sha1sums sha256sums sha512sums",
}
"""Whole names without a further dot, in lower case."""

_BY_ENDING = {
    ending: (icon, text)
    for icon, texts in _KINDS.items()
    for text, endings in texts.items()
    for ending in endings.split()
}
_BY_NAME = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_COMPRESSED = frozenset(("gz", "bz2", "xz", "zst"))
_MAX_NAME = 20
_MAX_SHOWN = 10


def icon_name_of(name: str) -> str:
    """Name of the icon for a file."""
    return _kind(name)[0]


def kind_of(name: str, is_folder: bool) -> str:
    """The text of the column Kind, as "PNG image"."""
    return _folder_text() if is_folder else _kind(name)[1]


def endings() -> frozenset[str]:
    """All endings that have a kind of their own."""
    return frozenset(_BY_ENDING)


def _kind(name: str) -> tuple[str, str]:
    """Icon and text."""
    dot = name.rfind(".")
    if dot <= 0:
        return _of_name(name if len(name) <= _MAX_NAME else "")
    ending = name[dot + 1 :]
    if ending in _COMPRESSED and name.endswith(".tar", 0, dot):
        ending = "tar"
    return _of_ending(ending if len(ending) <= _MAX_NAME else "")


@lru_cache(maxsize=4096)
def _of_ending(ending: str) -> tuple[str, str]:
    icon, text = _BY_ENDING.get(ending.lower(), ("file", ""))
    if not text and ending.isalnum() and not ending.isdecimal() and len(ending) <= _MAX_SHOWN:
        return icon, _tr("%s file").replace("%s", ending.upper())
    return icon, _tr(text or "File")


@lru_cache(maxsize=1024)
def _of_name(name: str) -> tuple[str, str]:
    icon, text = _BY_NAME.get(name.lower(), ("file", "File"))
    return icon, _tr(text)


@lru_cache(maxsize=1)
def _folder_text() -> str:
    return _tr("Folder")


def _tr(text: str) -> str:
    return QCoreApplication.translate("FileKinds", text)
