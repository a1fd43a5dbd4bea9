"""The process that the demo kills: it puts five emails into an outbox, and begins to send them.

Started by `second_act`, with the file, and the host and port of the server.
"""

import sys

from pykka_smtp import Outbox, Put, SendMail

KEYS = ("order-1", "order-2", "order-3", "order-4", "order-5")
ALIAS = "demo-outbox"


def main(path: str, host: str, port: int) -> None:
    """Put the emails; print a line for each receipt. It is killed after that.

    Args:
        path: the file.
        host: the server's host.
        port: its port.
    """
    outbox = Outbox.start(path, server=host, port=port, alias=ALIAS, tls="off", max_connections=1)
    for key in KEYS:
        mail = SendMail(
            sender="shop@example.com",
            recipients="you@example.org",
            subject=key,
            body="Thanks.",
            context=key,
        )
        receipt = outbox.ask(Put(mail, key=key))
        sys.stdout.write(f"{receipt.key}\n")
        sys.stdout.flush()
    sys.stdin.read()  # until it is killed, or the demo is


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
