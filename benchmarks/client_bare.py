"""Bare sockets: the least that any client has to do, and no more.

Arguments: ``port``, ``count``, ``limit``: threads, ``path``: the mail.
"""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from .mail import CLIENT_NAME, RECIPIENT, SENDER, mail_of
from .measure import PeakMemory, Stopwatch, arguments, report
from .processes import HOST

_TIMEOUT = 60.0
_COMMANDS = (f"EHLO {CLIENT_NAME}", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{RECIPIENT}>", "DATA")


def prepare(mail: bytes) -> bytes:
    """Return what goes out after DATA (RFC 5321 §4.5.2)."""
    return mail.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def send_one(port: int, data: bytes) -> None:
    """Send a mail on a connection of its own, command by command."""
    with socket.create_connection((HOST, port), timeout=_TIMEOUT) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock.makefile("rb") as replies:

            def expect(digit: bytes) -> None:
                line = replies.readline()
                while line[3:4] == b"-":
                    line = replies.readline()
                if line[:1] != digit:
                    raise ConnectionError(f"the server said {line!r}")

            expect(b"2")
            for command in _COMMANDS:
                sock.sendall(f"{command}\r\n".encode())
                expect(b"3" if command == "DATA" else b"2")
            sock.sendall(data)
            expect(b"2")
            sock.sendall(b"QUIT\r\n")
            expect(b"2")


def main() -> None:
    """Do as told."""
    told = arguments()
    data = prepare(Path(told["path"]).read_bytes())
    send_one(told["port"], prepare(mail_of()))
    turns = iter(range(told["count"]))
    sent: list[int] = []

    def work(turns: Iterator[int]) -> None:
        for turn in turns:
            send_one(told["port"], data)
            sent.append(turn)

    peak = PeakMemory()
    watch = Stopwatch()
    threads = [threading.Thread(target=work, args=(turns,)) for _ in range(told["limit"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report(seconds=watch.seconds(), cpu=watch.cpu(), sent=len(sent), peak=peak.extra())


if __name__ == "__main__":
    main()
