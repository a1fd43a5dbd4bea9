"""Mail data in the form that goes over the wire (RFC 5321 §2.3.8, §4.1.1.4, §4.5.2).

Any octets in, lines that end in CRLF out. A bare CR or a bare LF never leaves: servers that take
``LF . LF`` for the end of the mail data would run what follows as commands (SMTP smuggling). How a
mail is cut into chunks never changes what comes out. The final dot is the dialog's to write.
"""

from dataclasses import dataclass

_CRLF = b"\r\n"

# Up to this size a mail is split into lines at once: the quickest way in CPython. A larger one
# takes ways whose memory does not depend on how short its lines are.
_SMALL = 16 * 1024


class MailDataEncoder:
    """Turn a stream of octets into mail data: CRLF line ends and transparency.

    Call `encode` for each chunk and write what it returns, then `finish` once, and write that too.
    CRLF, bare CR and bare LF each become one CRLF.

    Args:
        transparent: double the dot that begins a line (RFC 5321 §4.5.2). False for BDAT, which
            counts octets and has no transparency (RFC 3030 §2).
    """

    __slots__ = ("_at_line_start", "_cr_held", "_finished", "_transparent")

    def __init__(self, *, transparent: bool = True) -> None:
        self._transparent = transparent
        self._at_line_start = True
        self._cr_held = False
        self._finished = False

    def encode(self, chunk: bytes | memoryview) -> bytes:
        """Return what `chunk` adds to the mail data; may be empty.

        Args:
            chunk: the next octets, cut anywhere. A CR at its end waits for the next call, which
                may bring its LF.

        Raises:
            RuntimeError: `finish` was called before.
        """
        self._check_open()
        data = b"\r" + chunk if self._cr_held else bytes(chunk)
        self._cr_held = data.endswith(b"\r")
        if self._cr_held:
            data = data[:-1]
        if not data:
            return b""
        data = data.replace(_CRLF, b"\n").replace(b"\r", b"\n").replace(b"\n", _CRLF)
        at_line_start, self._at_line_start = self._at_line_start, data.endswith(b"\n")
        return _stuff(data, at_line_start=at_line_start) if self._transparent else data

    def finish(self) -> bytes:
        """Return what is missing at the end: CRLF, or nothing.

        RFC 5321 §4.1.1.4: the CRLF before the final dot ends the last line, so one is added only
        where the last line has none. An empty stream stays empty.

        Raises:
            RuntimeError: `finish` was called before.
        """
        self._check_open()
        self._finished = True
        return _CRLF if self._cr_held or not self._at_line_start else b""

    def _check_open(self) -> None:
        if self._finished:
            raise RuntimeError("this mail data is finished; use a new MailDataEncoder")


def encode_whole(data: bytes, *, transparent: bool = True) -> bytes:
    """Return a whole mail as `MailDataEncoder` would write it, final CRLF included.

    Args:
        data: the mail, with any line ends.
        transparent: double the dot that begins a line; False for BDAT.
    """
    if len(data) > _SMALL:
        encoder = MailDataEncoder(transparent=transparent)
        return encoder.encode(data) + encoder.finish()
    lines = data.splitlines()  # of bytes: at CRLF, CR and LF, nothing else
    lines.append(b"")
    data = _CRLF.join(lines)
    return _stuff(data, at_line_start=True) if transparent else data


def _stuff(data: bytes, *, at_line_start: bool) -> bytes:
    """Double the dot that begins a line, in `data` whose line ends are all CRLF."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if at_line_start and data.startswith(b".") else stuffed


@dataclass(slots=True)
class MailFacts:
    """What has to be known of a mail before it is offered to a server.

    Attributes:
        size: octets with CRLF line ends and the final CRLF, without doubled dots and the final
            dot: the message size of RFC 1870 §5.
        eight_bit: whether an octet is above 127 (RFC 6152).
        nul: whether there is a NUL, which no extension but BINARYMIME allows.
        longest_line: octets of the longest line, without its CRLF. RFC 5321 §4.5.3.1.6 allows 998.
        is_plain: whether the mail is mail data as it stands: each line ends in CRLF, the last
            one too, and none begins with a dot.
    """

    size: int
    eight_bit: bool
    nul: bool
    longest_line: int
    is_plain: bool = False


class MailScanner:
    """Gather the `MailFacts` of a stream: call `feed` for each chunk, then `finish` once.

    Holds no mail data, however long the lines are.
    """

    __slots__ = (
        "_dotted",
        "_eight_bit",
        "_ended_in_cr",
        "_fed",
        "_longest",
        "_nul",
        "_open_line",
        "_size",
    )

    def __init__(self) -> None:
        self._fed = 0  # octets in all
        self._dotted = False  # whether a line begins with a dot
        self._size = 0  # of the complete lines, with their CRLF
        self._open_line = 0  # octets of the line that has not ended yet
        self._ended_in_cr = False
        self._eight_bit = False
        self._nul = False
        self._longest = 0

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next octets, cut anywhere."""
        # In slices: the list of lines of a huge chunk would be many times larger than the chunk.
        for start in range(0, len(chunk), _SMALL):
            self._feed_slice(bytes(chunk[start : start + _SMALL]))

    def _feed_slice(self, data: bytes) -> None:
        self._fed += len(data)
        if not self._dotted:
            # Only where line ends are CRLF does it matter: there, a line begins after LF.
            begins_line = not self._open_line
            # Most attachments are base64, which has no dot at all: that is soon seen.
            self._dotted = b"." in data and (
                b"\n." in data or (begins_line and data.startswith(b"."))
            )
        self._eight_bit = self._eight_bit or not data.isascii()
        self._nul = self._nul or b"\0" in data
        if self._ended_in_cr:
            # The CR ended its line; an LF that comes after it is the same line end.
            data = data.removeprefix(b"\n")
        lines = data.splitlines()
        if not lines:
            self._ended_in_cr = False
            return
        lengths = list(map(len, lines))
        lengths[0] += self._open_line
        self._longest = max(self._longest, *lengths)
        self._ended_in_cr = data.endswith(b"\r")
        self._open_line = 0 if data.endswith((b"\r", b"\n")) else lengths.pop()
        self._size += sum(lengths) + 2 * len(lengths)

    def finish(self) -> MailFacts:
        """Return the facts of all that was fed."""
        size = self._size + (self._open_line + 2 if self._open_line else 0)
        return MailFacts(
            size=size,
            eight_bit=self._eight_bit,
            nul=self._nul,
            longest_line=self._longest,
            is_plain=size == self._fed and not self._dotted,
        )


def scan(data: bytes) -> MailFacts:
    """Return the facts of a whole mail."""
    if len(data) > _SMALL:
        scanner = MailScanner()
        scanner.feed(memoryview(data))
        return scanner.finish()
    lengths = list(map(len, data.splitlines()))
    size = sum(lengths) + 2 * len(lengths)
    return MailFacts(
        size,
        not data.isascii(),
        b"\0" in data,
        max(lengths, default=0),
        # A line end that is no CRLF, or is missing, makes the two differ.
        size == len(data) and b"\n." not in data and data[:1] != b".",
    )
