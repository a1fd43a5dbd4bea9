"""Which content type a file has, by its name: the same on every machine.

The standard library's `mimetypes` reads the files of the system that it runs on.
"""

OCTETS = "application/octet-stream"
"""The type of what is not known (RFC 2046 §4.5.1)."""

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."
_TYPES = {
    "7z": "application/x-7z-compressed",
    "aac": "audio/aac",
    "apk": "application/vnd.android.package-archive",
    "asc": "application/pgp-keys",
    "atom": "application/atom+xml",
    "avi": "video/x-msvideo",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "bz2": "application/x-bzip2",
    "css": "text/css",
    "csv": "text/csv",
    "doc": "application/msword",
    "docm": "application/vnd.ms-word.document.macroenabled.12",
    "docx": f"{_OFFICE}wordprocessingml.document",
    "dot": "application/msword",
    "dotx": f"{_OFFICE}wordprocessingml.template",
    "eml": "message/rfc822",
    "eps": "application/postscript",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "gif": "image/gif",
    "gpx": "application/gpx+xml",
    "gz": "application/gzip",
    "heic": "image/heic",
    "heif": "image/heif",
    "htm": "text/html",
    "html": "text/html",
    "ico": "image/vnd.microsoft.icon",
    "ics": "text/calendar",
    "jar": "application/java-archive",
    "jfif": "image/jpeg",
    "jpe": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "key": "application/vnd.apple.keynote",
    "log": "text/plain",
    "m4a": "audio/mp4",
    "md": "text/markdown",
    "mid": "audio/midi",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpg": "video/mpeg",
    "numbers": "application/vnd.apple.numbers",
    "odp": f"{_OPEN}presentation",
    "ods": f"{_OPEN}spreadsheet",
    "odt": f"{_OPEN}text",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "opus": "audio/ogg",
    "otf": "font/otf",
    "p7s": "application/pkcs7-signature",
    "pages": "application/vnd.apple.pages",
    "pdf": "application/pdf",
    "pgp": "application/octet-stream",
    "png": "image/png",
    "pot": "application/vnd.ms-powerpoint",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": f"{_OFFICE}presentationml.presentation",
    "ps": "application/postscript",
    "py": "text/x-python",
    "rar": "application/vnd.rar",
    "rtf": "application/rtf",
    "sig": "application/pgp-signature",
    "sql": "application/sql",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "tgz": "application/gzip",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "toml": "application/toml",
    "tsv": "text/tab-separated-values",
    "ttf": "font/ttf",
    "txt": "text/plain",
    "vcf": "text/vcard",
    "wav": "audio/wav",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xhtml": "application/xhtml+xml",
    "xls": "application/vnd.ms-excel",
    "xlsm": "application/vnd.ms-excel.sheet.macroenabled.12",
    "xlsx": f"{_OFFICE}spreadsheetml.sheet",
    "xml": "application/xml",
    "xz": "application/x-xz",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
    "zst": "application/zstd",
}

# How files of types that a page embeds begin.
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"<svg", "image/svg+xml"),
    (b"%PDF-", "application/pdf"),
)


def type_by_name(name: str) -> str:
    """Return the content type of a file.

    Args:
        name: its name.
    """
    return _TYPES.get(name.rpartition(".")[2].lower(), OCTETS) if "." in name else OCTETS


def type_by_content(octets: bytes) -> str:
    """Return the content type of what has no name, such as an image that a program has drawn.

    Args:
        octets: the content, or how it begins.
    """
    if octets[:4] == b"RIFF" and octets[8:12] == b"WEBP":
        return "image/webp"
    for beginning, content_type in _BEGINNINGS:
        if octets.startswith(beginning):
            return content_type
    return OCTETS
