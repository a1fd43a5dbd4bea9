"""Send a thousand mails on ten connections that stay open, and watch how it goes.

Run it as ``python examples/mailer_bulk.py [host [port [count]]]``. Without a host it starts
a server of its own, which throws mails away.
"""

import socketserver
import sys
import threading
import time
from collections.abc import Iterator

from pykka_smtp import Drain, Mailer, SendMail, Statistics


class Sink(socketserver.StreamRequestHandler):
    """One session of a server that throws mails away."""

    def handle(self) -> None:
        """Say yes to everything."""
        self.wfile.write(b"220 sink.example.org ESMTP\r\n")
        for line in self.rfile:
            if line == b"DATA\r\n":
                self.wfile.write(b"354 go ahead\r\n")
                while self.rfile.readline() not in {b".\r\n", b""}:
                    pass
            self.wfile.write(b"250 2.0.0 thrown away\r\n")
            if line == b"QUIT\r\n":
                return


def start_sink() -> int:
    """Start the server, and return its port."""
    socketserver.ThreadingTCPServer.daemon_threads = True
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25 if len(sys.argv) > 1 else start_sink()
count = int(sys.argv[3]) if len(sys.argv) > 3 else 1000


def mails() -> Iterator[SendMail]:
    for number in range(count):
        yield SendMail(
            sender="news@example.com",
            recipients=f"reader{number}@example.org",
            subject="News",
            body="There is none.\n" * 60,
        )


mailer = Mailer.start(host, port, alias="bulk", max_connections=10)
begun = time.perf_counter()
mailer.tell_all(mails())  # as fast as they go out; tell() never waits, but max_queued is a bound
while not mailer.ask(Drain(timeout=0.2), block=True):  # until all are out
    print(mailer.ask(Statistics(), block=True))
seconds = time.perf_counter() - begun

statistics = mailer.ask(Statistics(), block=True)
mailer.stop()
print(f"accepted: {statistics.sent}")
for kind, how_many in statistics.failed_by_kind.items():
    print(f"{kind.name}: {how_many}")
print(f"all done in {seconds:.2f} s: {count / seconds:.0f} mails a second")
