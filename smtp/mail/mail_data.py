"""Mail data in the form that goes over the wire (RFC 5321 §2.3.8, §4.1.1.4, §4.5.2).

The input is any octets, the output lines that end in CRLF. A bare CR or a bare LF is never sent:
servers that take ``LF . LF`` for the end of the mail data would run what follows as commands (SMTP
smuggling). How the input is cut into chunks never changes the output. The dialog writes the final
dot.
"""

from dataclasses import dataclass

_CRLF = b"\r\n"

# Octets up to which a message is split into lines at once, the fastest way in CPython. For a larger
# one, the list of lines could take far more memory than the message if its lines are short.
_SMALL = 16 * 1024


class MailDataEncoder:
    """Turns a stream of octets into mail data: CRLF line ends and transparency (dot-stuffing).

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
        """Return the mail data of `chunk`; may be empty.

        Args:
            chunk: the next octets, cut anywhere. A CR at its end is kept until the next call,
                whose chunk may begin with its LF.

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
        """Return CRLF if the last line has no line end, or else nothing.

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
    """Return a complete message as `MailDataEncoder` would encode it, with the final CRLF.

    Args:
        data: the message, with any line ends.
        transparent: double the dot that begins a line; False for BDAT.
    """
    if len(data) > _SMALL:
        encoder = MailDataEncoder(transparent=transparent)
        return encoder.encode(data) + encoder.finish()
    lines = data.splitlines()  # for bytes, only at CRLF, CR and LF
    lines.append(b"")
    data = _CRLF.join(lines)
    return _stuff(data, at_line_start=True) if transparent else data


def _stuff(data: bytes, *, at_line_start: bool) -> bytes:
    """Double the dot that begins a line, in `data` whose line ends are all CRLF."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if at_line_start and data.startswith(b".") else stuffed


@dataclass(slots=True)
class MailFacts:
    """What must be known of a message before the MAIL command.

    Attributes:
        size: octets with CRLF line ends and the final CRLF, without doubled dots and the final
            dot: the message size of RFC 1870 §5.
        eight_bit: whether an octet is above 127 (RFC 6152).
        nul: whether there is a NUL, which only BINARYMIME allows.
        longest_line: octets of the longest line, without its CRLF. RFC 5321 §4.5.3.1.6 allows 998.
            Of an email that is composed here, a bound for it that is not above that.
        is_plain: whether the message can be sent unchanged as mail data: each line ends in CRLF,
            even the last one, and none begins with a dot.
    """

    size: int
    eight_bit: bool
    nul: bool
    longest_line: int
    is_plain: bool = False

    def before(self, rest: "MailFacts") -> "MailFacts":
        """Return the facts of the whole, if these are those of complete lines, and `rest` follows.

        Args:
            rest: the facts of what follows.
        """
        return MailFacts(
            self.size + rest.size,
            self.eight_bit or rest.eight_bit,
            self.nul or rest.nul,
            max(self.longest_line, rest.longest_line),
            self.is_plain and rest.is_plain,
        )


class MailScanner:
    """Computes the `MailFacts` of a stream: call `feed` for each chunk, then `finish` once.

    It keeps no mail data, however long the lines are.
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
        """Add the next octets, cut anywhere."""
        # In slices: the list of lines of a huge chunk could be many times larger than the chunk.
        for start in range(0, len(chunk), _SMALL):
            self._feed_slice(bytes(chunk[start : start + _SMALL]))

    def _feed_slice(self, data: bytes) -> None:
        self._fed += len(data)
        if not self._dotted:
            # It matters only if all line ends are CRLF (see `is_plain`), so each line begins after
            # an LF.
            begins_line = not self._open_line
            # Most attachments are base64 and have no dot at all, which is a fast check.
            self._dotted = b"." in data and (
                b"\n." in data or (begins_line and data.startswith(b"."))
            )
        self._eight_bit = self._eight_bit or not data.isascii()
        self._nul = self._nul or b"\0" in data
        if self._ended_in_cr:
            # The CR has ended its line; an LF right after it belongs to the same line end.
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
    """Return the facts of a complete message."""
    octets = len(data)
    if octets > _SMALL:
        scanner = MailScanner()
        scanner.feed(memoryview(data))
        return scanner.finish()
    lengths = list(map(len, data.splitlines()))
    size = sum(lengths) + 2 * len(lengths)
    return MailFacts(
        size,
        not data.isascii(),
        b"\0" in data,
        max(lengths) if lengths else 0,  # quicker than with `default`
        # The two differ if a line end is not CRLF, or is missing.
        size == octets and b"\n." not in data and data[:1] != b".",
    )
