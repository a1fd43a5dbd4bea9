import asyncio
import bz2
import contextlib
import errno
import gc
import gzip
import io
import itertools
import lzma
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from servers.injection import quiet
from servers.python import python
from servers.scripted import Conn, ScriptedServer, Start, polite
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import FailureKind, SendFailure, SendMail, SendSuccess, SmtpActor, Stage
from pykka_smtp.actors.loop import workers
from pykka_smtp.actors.net.data import mail_source
from pykka_smtp.actors.net.data.mail_source import PIECE, FileSource, SourceError, pieces_of
from pykka_smtp.actors.net.data.mail_writer import MailWriter

HEADER = b"From: a@b.test\r\nSubject: from a file\r\n\r\n"
MAIL = HEADER + b".\r\n..b\r\nend\r\n"
LARGE = HEADER + b"".join(b"%06d %s\r\n" % (number, b"x" * 60) for number in range(8000))
EIGHT_BIT = HEADER + "grüße\r\n".encode()


def mail(message: Any) -> SendMail:
    return SendMail(sender="a@b.test", recipients="c@d.test", message=message)


def send(server: ScriptedServer, message: Any, **options: Any) -> Any:
    ref = SmtpActor.start(server.host, server.port, **options)
    return ref.ask(mail(message), timeout=PATIENCE)


def all_of(source: FileSource) -> bytes:
    source.open()
    pieces = []
    while (piece := source.read()) is not None:
        assert piece
        pieces.append(piece)
    source.close()
    return b"".join(pieces)


class _Odd(io.RawIOBase):
    """A file of the caller's with a behaviour of its own."""

    def __init__(self, reads: list[Any], *, seekable: bool = False) -> None:
        super().__init__()
        self._reads = reads
        self._seekable = seekable
        self._next = 0

    def seekable(self) -> bool:
        return self._seekable

    def tell(self) -> int:
        return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._next = 0
        return 0

    def read(self, size: int = -1) -> Any:
        found = self._reads[self._next] if self._next < len(self._reads) else b""
        self._next += 1
        if isinstance(found, BaseException):
            raise found
        return found() if callable(found) else found


def odd(reads: list[Any], *, seekable: bool = False) -> Any:
    """Make such a file."""
    return _Odd(reads, seekable=seekable)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "mail.eml"
    made.write_bytes(MAIL)
    return made


# Pieces, without a connection


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_a_mail_in_memory_is_cut_into_pieces_that_join_to_its_wire_form(size: int) -> None:
    data = (b"x" * 76 + b"\r\n.dot\r\n") * (size // 84 + 1)

    pieces = list(pieces_of(data[:size]))

    assert b"".join(pieces) == wire(data[:size])
    assert all(len(piece) <= 2 * PIECE for piece in pieces)


def wire(data: bytes) -> bytes:
    """Give the wire form, made the slow way (RFC 5321 §4.5.2)."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    stuffed = [b"." + line if line.startswith(b".") else line for line in lines]
    whole = b"\r\n".join(stuffed)
    return whole if not whole or whole.endswith(b"\r\n") else whole + b"\r\n"


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
def test_a_file_gives_its_wire_form_however_its_reads_are_cut(cut: int) -> None:
    data = b".a\r\n..b\rc\n.\r\n\r\r\n.d"

    reads = [data[start : start + cut] for start in range(0, len(data), cut)]

    assert all_of(FileSource(odd(reads))) == wire(data)


def test_a_seekable_file_is_read_once_before_to_learn_its_size_and_needs(path: Path) -> None:
    source = FileSource(path)

    facts = source.open()

    assert facts is not None
    assert facts.size == len(MAIL)
    assert not facts.eight_bit
    source.close()
    assert all_of(FileSource(path)) == wire(MAIL)


def test_a_file_that_can_be_read_only_once_has_no_facts() -> None:
    assert FileSource(odd([MAIL])).open() is None


def test_a_file_of_the_callers_is_read_from_where_it_stands_and_stays_open(path: Path) -> None:
    with path.open("rb") as file:
        file.read(len(HEADER))
        assert all_of(FileSource(file)) == wire(MAIL[len(HEADER) :])
        assert not file.closed


def test_a_path_is_closed_and_closing_twice_does_nothing(path: Path) -> None:
    source = FileSource(path)
    source.open()
    file = source._file
    assert file is not None

    source.close()
    source.close()

    assert file.closed


def no_job(self: workers._Job) -> None:
    raise RuntimeError("broken before it was begun")


def full(self: workers.Workers, function: object, *args: object) -> Any:
    future = asyncio.get_running_loop().create_future()
    future.set_exception(BlockingIOError(errno.EAGAIN, "too many jobs wait"))
    return future


def no_workers(self: workers.Workers, function: object, *args: object) -> Any:
    raise RuntimeError("the workers were not started")


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (workers._Job, "do", no_job),
        (workers.Workers, "run", full),
        (workers.Workers, "run", no_workers),
    ],
    ids=["the job breaks", "too many jobs", "no workers"],
)
def test_a_path_is_closed_though_no_thread_can_close_it(
    scripted_server: Start,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    broken: Callable[..., Any],
) -> None:
    opened: list[IO[bytes]] = []
    open_path = mail_source._open_path

    def open_and_note(path: "os.PathLike[str]") -> IO[bytes]:
        opened.append(open_path(path))
        return opened[-1]

    def break_from_here_on(self: MailWriter) -> None:
        monkeypatch.setattr(owner, name, broken)
        end(self)

    end = MailWriter._end
    monkeypatch.setattr(mail_source, "_open_path", open_and_note)
    monkeypatch.setattr(MailWriter, "_end", break_from_here_on)

    with quiet("pykka_smtp"):
        outcome = send(scripted_server(polite()), path)

        assert isinstance(outcome, SendSuccess), outcome
        assert wait_until(lambda: opened[0].closed, PATIENCE)
    assert len(opened) == 1


def test_a_path_that_cannot_be_read_is_closed_though_closing_breaks_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, tries = FileSource.close, itertools.count()
    path.write_bytes(b"")

    def close_the_second_time(self: FileSource) -> None:
        if next(tries) == 0:
            raise RuntimeError("broken")
        close(self)

    monkeypatch.setattr(FileSource, "close", close_the_second_time)
    source = FileSource(path)

    with quiet("pykka_smtp"), pytest.raises(SourceError, match="the email is empty"):
        source.open()

    assert not source.is_open


@pytest.mark.parametrize(
    ("reads", "words"),
    [
        ([OSError(5, "Input/output error")], "Input/output error"),
        ([ValueError("I/O operation on closed file")], "closed file"),
        ([None], "read() gave NoneType, not bytes"),
        (["text"], "read() gave str, not bytes"),
    ],
)
def test_what_cannot_be_read_is_a_source_error_with_the_reason(
    reads: list[Any], words: str
) -> None:
    with pytest.raises(SourceError) as at_open:
        FileSource(odd(reads, seekable=True)).open()
    late = FileSource(odd([b"begins\r\n", *reads]))
    late.open()
    late.read()
    with pytest.raises(SourceError) as at_read:
        late.read()

    assert words in str(at_open.value)
    assert words in str(at_read.value)
    assert "\n" not in str(at_read.value)


@pytest.mark.parametrize("bad", [b"nul\0\r\n", b"x" * 999 + b"\r\n"], ids=["nul", "long_line"])
def test_a_stream_that_turns_out_unfit_is_refused_before_its_end(bad: bytes) -> None:
    with pytest.raises(SourceError, match="NUL octet, or a line over 998"):
        all_of(FileSource(odd([b"fine\r\n", bad])))


def test_a_stream_must_be_ascii_where_the_server_takes_nothing_else() -> None:
    source = FileSource(odd([b"fine\r\n", "grüße\r\n".encode()]))
    source.open()
    source.begin(transparent=True, may_be_eight_bit=False)
    assert source.read() == b"fine\r\n"

    with pytest.raises(SourceError, match="8-bit data"):
        source.read()


def unseekable_error() -> Any:
    class Broken(_Odd):
        def seekable(self) -> bool:
            raise LookupError("is it?")

    return Broken([MAIL])


class _NoTell:
    """A file that says it is seekable, and is not."""

    def read(self, size: int) -> bytes:
        return b""

    def seekable(self) -> bool:
        return True


class _UnspeakableError(Exception):
    def __str__(self) -> str:
        raise self


class _Path:
    """A path as a program may have it."""

    def __init__(self, name: Any) -> None:
        self._name = name

    def __fspath__(self) -> Any:
        if isinstance(self._name, BaseException):
            raise self._name
        return self._name


def xz(data: bytes) -> Any:
    return lzma.LZMAFile(io.BytesIO(data))


def truncated_zip() -> Any:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as made:
        made.writestr("mail.eml", MAIL)
    return zipfile.ZipFile(io.BytesIO(whole.getvalue().replace(b"end", b"END"))).open("mail.eml")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(LARGE)[:-20])),
            "EOFError: Compressed file",
        ),
        (
            lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(LARGE)[:30] + b"x" * 99)),
            "zlib.error: Err",
        ),
        (
            lambda: gzip.GzipFile(fileobj=io.BytesIO(b"no gzip file")),
            "gzip.BadGzipFile: Not a gzipped file",
        ),
        (lambda: bz2.BZ2File(io.BytesIO(bz2.compress(LARGE)[:-20])), "EOFError: Compressed file"),
        (lambda: bz2.BZ2File(io.BytesIO(b"no bzip2 file")), "OSError: Invalid data stream"),
        (lambda: xz(lzma.compress(LARGE)[:-20]), "EOFError: Compressed file"),
        (lambda: xz(b"no xz file"), "LZMAError: Input format not supported"),
        (truncated_zip, "zipfile.BadZipFile: Bad CRC-32"),
        (lambda: odd([KeyError("no such part")], seekable=True), "KeyError: 'no such part'"),
        (lambda: odd([SystemExit(3)], seekable=True), "SystemExit: 3"),
        (lambda: odd([GeneratorExit()], seekable=True), "mail: GeneratorExit"),
        (lambda: odd([_UnspeakableError()], seekable=True), "test_mail_source._UnspeakableError"),
        (lambda: odd([LookupError("two\nlines " * 99)], seekable=True), "two lines two lines"),
        (unseekable_error, "LookupError: is it?"),
        (_NoTell, "AttributeError: '_NoTell' object has no attribute 'tell'"),
        (lambda: _Path(LookupError("which?")), "LookupError: which?"),
        (lambda: _Path(SystemExit(3)), "SystemExit: 3"),
        (lambda: _Path(7), "TypeError: expected _Path.__fspath__() to return str or bytes"),
        (lambda: _Path("with\0nul"), "embedded null byte"),
    ],
)
def test_whatever_a_strangers_file_raises_is_said_to_be_of_the_file(
    source: Callable[[], Any], words: str
) -> None:
    given = source()

    with pytest.raises(SourceError) as raised:
        all_of(FileSource(given))

    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_path_may_be_of_bytes(path: Path) -> None:
    path.write_bytes(MAIL)

    assert all_of(FileSource(_Path(os.fsencode(path)))) == wire(MAIL)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_not_an_email(device: str) -> None:
    if not Path(device).exists():
        pytest.skip(f"there is no {device}")

    with pytest.raises(SourceError, match=r"is a device, not a file|No such device"):
        FileSource(Path(device)).open()


def test_a_file_that_was_given_up_is_read_no_further() -> None:
    source = FileSource(odd([b"one\r\n"] * 9, seekable=True))

    source.give_up()

    with pytest.raises(SourceError, match="the send was cancelled"):
        source.open()


def test_after_the_end_read_goes_on_to_say_so() -> None:
    source = FileSource(odd([b"no line end"]))
    source.open()

    assert [source.read() for _ in range(4)] == [b"no line end", b"\r\n", None, None]


# Through an actor


pytest_on_both_loops = pytest.mark.usefixtures("loop_kind")


@pytest_on_both_loops
@pytest.mark.parametrize("data", [MAIL, LARGE], ids=["small", "large"])
def test_a_mail_from_a_path_arrives_octet_for_octet(
    scripted_server: Start, path: Path, data: bytes
) -> None:
    path.write_bytes(data)
    server = scripted_server(polite("SIZE 1000000"))

    outcome = send(server, path)

    assert isinstance(outcome, SendSuccess)
    assert server.mails[0].data == data
    assert any(line.endswith(f"SIZE={len(data)}") for line in server.lines)


def not_rewound() -> IO[bytes]:
    file = io.BytesIO()
    file.write(MAIL)
    return file


@pytest_on_both_loops
@pytest.mark.parametrize("kind", ["path", "file", "not rewound", "pipe"])
def test_an_empty_mail_is_never_sent(scripted_server: Start, path: Path, kind: str) -> None:
    path.write_bytes(b"")
    server = scripted_server(refused_amid_the_mail if kind == "pipe" else polite())
    with contextlib.ExitStack() as exits:
        if kind == "path":
            message: Any = path
        elif kind == "file":
            message = exits.enter_context(path.open("rb"))
        elif kind == "not rewound":
            message = not_rewound()
        else:
            reader, writer = os.pipe()
            os.close(writer)
            message = exits.enter_context(os.fdopen(reader, "rb"))

        outcome = send(server, message)

    assert outcome.kind is FailureKind.LOCAL
    assert outcome.detail.endswith("the email is empty; was the file read to its end?")
    assert not outcome.maybe_accepted
    assert not server.mails


@pytest_on_both_loops
@pytest.mark.parametrize("data", [MAIL, LARGE], ids=["small", "large"])
def test_a_mail_from_a_named_pipe_arrives(
    server: ScriptedServer, tmp_path: Path, data: bytes
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    outcome = send(server, pipe)
    writer.join(PATIENCE)

    assert isinstance(outcome, SendSuccess)
    assert server.mails[0].data == data


@pytest_on_both_loops
def test_named_pipes_without_a_writer_and_silent_ones_keep_no_other_mail_from_being_read(
    server: ScriptedServer, tmp_path: Path, path: Path
) -> None:
    path.write_bytes(MAIL)
    pipes = [tmp_path / f"pipe-{number}" for number in range(5)]
    with contextlib.ExitStack() as exits:
        refs: list[Any] = []
        answers: list[Any] = []
        for number, pipe in enumerate(pipes):
            os.mkfifo(pipe)
            if number % 2:  # its writer says nothing
                exits.callback(os.close, os.open(pipe, os.O_RDWR))
            refs.append(SmtpActor.start(server.host, server.port))
            answers.append(refs[-1].ask(mail(pipe), block=False))

        assert isinstance(send(server, path), SendSuccess)

        for ref in refs:
            ref.stop(timeout=PATIENCE)
    assert {answer.get(timeout=PATIENCE).kind for answer in answers} == {FailureKind.CANCELLED}
    assert len(server.sessions) == 1


@pytest_on_both_loops
def test_pipes_of_the_callers_that_say_nothing_keep_no_other_mail_from_being_read(
    scripted_server: Start, path: Path
) -> None:
    path.write_bytes(MAIL)
    silent = 4
    server = scripted_server(*[refused_amid_the_mail] * silent, polite())
    with contextlib.ExitStack() as exits:
        refs: list[Any] = []
        for number in range(silent):
            reader, writer = os.pipe()
            exits.callback(os.close, writer)
            file = exits.enter_context(os.fdopen(reader, "rb", buffering=-1 if number % 2 else 0))
            refs.append(SmtpActor.start(server.host, server.port))
            refs[-1].tell(mail(file))
            server.wait_for(lambda: len(server.sessions) == number + 1)  # noqa: B023

        assert isinstance(send(server, path), SendSuccess)

        # And no thread hangs in them for longer than somebody waits.
        for ref in refs:
            ref.stop(timeout=PATIENCE)
        assert wait_until(lambda: not any("pykka-smtp" in n for n in thread_names()), PATIENCE)


@pytest_on_both_loops
def test_a_mail_from_a_binary_file_is_read_from_where_it_stands(
    server: ScriptedServer, path: Path
) -> None:
    with path.open("rb") as file:
        file.read(6)

        outcome = send(server, file)

        assert isinstance(outcome, SendSuccess)
        assert not file.closed
        assert file.read() == b""
    assert server.mails[0].data == MAIL[6:]


@pytest_on_both_loops
def test_a_mail_from_memory_as_a_file_arrives(server: ScriptedServer) -> None:
    assert isinstance(send(server, io.BytesIO(LARGE)), SendSuccess)

    assert server.mails[0].data == LARGE


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "wb") as writer:
        yield reader, writer


def write_all(writer: IO[bytes], data: bytes) -> threading.Thread:
    def write() -> None:
        writer.write(data)
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest_on_both_loops
@pytest.mark.parametrize("data", [MAIL, LARGE], ids=["small", "large"])
def test_a_mail_from_a_pipe_arrives_though_it_can_be_read_only_once(
    scripted_server: Start, pipe: tuple[IO[bytes], IO[bytes]], data: bytes
) -> None:
    server = scripted_server(polite("SIZE 1000000"))
    writer = write_all(pipe[1], data)

    outcome = send(server, pipe[0])

    writer.join(PATIENCE)
    assert isinstance(outcome, SendSuccess)
    assert server.mails[0].data == data
    assert not any("SIZE=" in line for line in server.lines)


@pytest_on_both_loops
@pytest.mark.parametrize("data", [MAIL, LARGE], ids=["small", "large"])
def test_a_file_survives_a_first_attempt_that_came_to_nothing(
    scripted_server: Start, path: Path, data: bytes
) -> None:
    """A server that hangs up on EHLO gets HELO on another connection."""
    path.write_bytes(data)
    server = scripted_server("S: 220 mx.test\nC: EHLO *\nS! close", polite())

    outcome = send(server, path)

    assert isinstance(outcome, SendSuccess)
    assert server.mails[0].data == data


@pytest_on_both_loops
def test_a_file_that_is_not_there_needs_no_connection(
    server: ScriptedServer, tmp_path: Path
) -> None:
    outcome = send(server, tmp_path / "missing.eml")

    assert (outcome.kind, outcome.stage) == (FailureKind.LOCAL, Stage.CONNECT)
    assert "No such file or directory" in outcome.detail
    assert "missing.eml" in outcome.detail
    assert not outcome.retryable
    assert not server.sessions


@pytest_on_both_loops
def test_a_file_that_was_closed_needs_no_connection(server: ScriptedServer, path: Path) -> None:
    file = path.open("rb")
    file.close()

    outcome = send(server, file)

    assert outcome.kind is FailureKind.LOCAL
    assert "closed file" in outcome.detail
    assert not server.sessions


def refused_amid_the_mail(conn: Conn) -> None:
    """Take what comes after 354, and see that it never looks like a complete mail."""
    conn.send("220 mx.test ESMTP")
    for reply in ("250 mx.test", "250 ok", "250 ok", "354 go ahead"):
        conn.line()
        conn.send(reply)
    conn.hang()


def begins(data: bytes) -> Callable[[], bytes]:
    return lambda: data


@pytest_on_both_loops
@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), ValueError("gone")], ids=["os", "value"]
)
def test_a_read_error_amid_the_mail_never_lets_the_server_take_a_part_for_the_whole(
    scripted_server: Start, error: Exception
) -> None:
    server = scripted_server(refused_amid_the_mail)

    outcome = send(server, odd([HEADER, b"x\r\n" * 50_000, error]))

    assert (outcome.kind, outcome.stage) == (FailureKind.LOCAL, Stage.BODY)
    assert str(error.args[-1]) in outcome.detail
    assert not outcome.maybe_accepted
    server.wait_until_ended()
    assert b"\r\n.\r\n" not in server.sessions[0].unanswered


@pytest_on_both_loops
@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), LookupError("a bug")], ids=repr
)
def test_a_file_whose_read_raises_what_no_file_should_ends_one_send_only(
    scripted_server: Start, error: BaseException
) -> None:
    server = scripted_server(refused_amid_the_mail, polite())

    outcome = send(server, odd([HEADER, error]))

    assert outcome.kind is FailureKind.LOCAL
    assert f"cannot read the rest of the email: {type(error).__name__}" in outcome.detail
    assert not outcome.maybe_accepted
    assert isinstance(send(server, MAIL), SendSuccess)


@pytest_on_both_loops
@pytest.mark.parametrize("error", [SystemExit(3), LookupError("a bug")], ids=repr)
def test_a_file_whose_first_reading_raises_what_no_file_should_ends_one_send_only(
    server: ScriptedServer, error: BaseException
) -> None:
    outcome = send(server, odd([HEADER, error], seekable=True))

    assert outcome.kind is FailureKind.LOCAL
    assert f"cannot read the email: {type(error).__name__}" in outcome.detail
    assert isinstance(send(server, MAIL), SendSuccess)
    assert len(server.sessions) == 1


@pytest_on_both_loops
@pytest.mark.parametrize("change", ["shorter", "longer", "other"])
def test_a_file_that_changes_while_it_is_sent_is_not_sent(
    scripted_server: Start, path: Path, change: str
) -> None:
    path.write_bytes(LARGE)

    def script(conn: Conn) -> None:
        conn.send("220 mx.test ESMTP")
        for reply in ("250 mx.test", "250 ok", "250 ok"):
            conn.line()
            conn.send(reply)
        conn.line("DATA")
        match change:
            case "shorter":
                os.truncate(path, len(LARGE) // 2)
            case "longer":
                with path.open("ab") as file:
                    file.write(b"one more line\r\n")
            case _:
                path.write_bytes(LARGE.replace(b"xxx", b"\xff\xff\xff"))
        conn.send("354 go ahead")
        conn.hang()

    server = scripted_server(script)

    outcome = send(server, path)

    assert (outcome.kind, outcome.stage) == (FailureKind.LOCAL, Stage.BODY)
    assert "changed while it was sent" in outcome.detail
    assert not outcome.maybe_accepted
    server.wait_until_ended()
    assert b"\r\n.\r\n" not in server.sessions[0].unanswered


@pytest_on_both_loops
def test_an_8_bit_file_goes_out_as_8_bit_where_the_server_takes_that(
    scripted_server: Start, path: Path
) -> None:
    path.write_bytes(EIGHT_BIT)
    server = scripted_server(polite("8BITMIME"))

    assert isinstance(send(server, path), SendSuccess)

    assert server.mails[0].data == EIGHT_BIT
    assert any("BODY=8BITMIME" in line for line in server.lines)


@pytest_on_both_loops
def test_an_8_bit_file_is_not_sent_to_a_server_without_8bitmime(
    server: ScriptedServer, path: Path
) -> None:
    path.write_bytes(EIGHT_BIT)

    outcome = send(server, path)

    assert outcome.kind is FailureKind.LOCAL
    assert "8BITMIME" in outcome.detail
    assert not any(line.startswith(("MAIL", "DATA")) for line in server.lines)


@pytest_on_both_loops
def test_an_8_bit_pipe_is_not_sent_to_a_server_without_8bitmime(
    server: ScriptedServer, pipe: tuple[IO[bytes], IO[bytes]]
) -> None:
    writer = write_all(pipe[1], EIGHT_BIT)

    outcome = send(server, pipe[0])

    writer.join(PATIENCE)
    assert (outcome.kind, outcome.stage) == (FailureKind.LOCAL, Stage.BODY)
    assert "8-bit data" in outcome.detail
    server.wait_until_ended()
    assert not server.mails


@pytest_on_both_loops
def test_stop_while_a_pipe_gives_nothing_leaves_nothing_behind(
    scripted_server: Start,
    pipe: tuple[IO[bytes], IO[bytes]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading = threading.Event()
    really_read = FileSource.read

    def say_so_and_read(self: FileSource) -> bytes | None:
        reading.set()
        return really_read(self)

    monkeypatch.setattr(FileSource, "read", say_so_and_read)
    server = scripted_server(refused_amid_the_mail)
    ref = SmtpActor.start(server.host, server.port)
    answer: Any = ref.ask(mail(pipe[0]), block=False)
    assert reading.wait(PATIENCE)

    ref.stop(timeout=PATIENCE)

    outcome = answer.get(timeout=0)
    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.CANCELLED
    assert wait_until(lambda: "pykka-smtp-loop" not in thread_names(), PATIENCE)
    pipe[1].close()
    assert wait_until(lambda: not any("pykka-smtp" in n for n in thread_names()), PATIENCE)
    gc.collect()  # a task that was left behind would say so now
    # The outcome, and nothing else.
    assert [record.name for record in caplog.records] == ["pykka_smtp.outcomes"]


class _Stuck(io.RawIOBase):
    """A file whose first reading takes until somebody lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = threading.Event()
        self.may_go_on = threading.Event()

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def read(self, size: int = -1) -> bytes:
        self.is_read.set()
        assert self.may_go_on.wait(PATIENCE)
        raise OSError(5, "Input/output error")


@pytest_on_both_loops
def test_a_mail_under_way_does_not_wait_for_the_first_look_at_others(
    scripted_server: Start, path: Path
) -> None:
    """A disk may be slow, and a share on the network may hang."""
    path.write_bytes(LARGE)
    asked, may_go_on = threading.Event(), threading.Event()

    def pauses(conn: Conn) -> None:
        conn.send("220 mx.test")
        for _ in range(3):
            conn.line()
            conn.send("250 mx.test")
        conn.line()
        asked.set()
        conn.wait(may_go_on)
        conn.send("354 go ahead")
        conn.body()
        conn.send("250 taken")
        conn.line()
        conn.send("221 bye")

    server = scripted_server(pauses)
    under_way: Any = SmtpActor.start(server.host, server.port).ask(mail(path), block=False)
    assert asked.wait(PATIENCE)
    stuck = [_Stuck() for _ in range(4)]
    others: Any = [
        SmtpActor.start(server.host, server.port).ask(mail(file), block=False) for file in stuck
    ]
    # Two threads are stuck, and then others take their place.
    assert wait_until(lambda: all(file.is_read.is_set() for file in stuck), PATIENCE)

    may_go_on.set()

    assert isinstance(under_way.get(timeout=PATIENCE), SendSuccess)
    for file in stuck:
        file.may_go_on.set()
    for other in others:
        assert other.get(timeout=PATIENCE).kind is FailureKind.LOCAL


def thread_names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


MEASURE = """
import pathlib, resource, sys
from pykka_smtp import SendMail, SmtpActor

def send(message):
    mail = SendMail(sender="a@b.test", recipients="c@d.test", message=message)
    SmtpActor.start("127.0.0.1", int(sys.argv[1])).ask(mail).raise_for_failure()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

small, large = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
print(-send(small) + send(large))
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_file_of_30_mb_costs_less_than_8_mb_of_memory(
    server: ScriptedServer, path: Path, loop: str
) -> None:
    large = path.with_name("large.eml")
    large.write_bytes(HEADER + (b"x" * 76 + b"\r\n") * 400_000)

    done = python("-c", MEASURE, server.port, path, large, env={"PYKKA_SMTP_LOOP": loop})

    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 8 * 1024  # ru_maxrss is in KiB
    assert len(server.mails[1].data) == large.stat().st_size > 30_000_000
