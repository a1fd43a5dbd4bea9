"""``pykka-smtp outbox page``: starts the page, and ends it at Ctrl-C."""

import argparse
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Generator
from pathlib import Path
from typing import TextIO

from ...actors.outbox.rules.states import Step
from ...actors.outbox.sending.failures import CANCELLED
from ...actors.outbox.store.errors import OutboxError
from ...actors.outbox.store.outside.acting import act
from ..output.printable import print_lines
from ..sysexits import EX_OK, EX_OSERR, EX_USAGE
from .access import MIN_TOKEN, TOKEN, Access, is_loopback, made_token
from .overview import Overview
from .requests import Desk
from .server import PageServer

_NAME = "pykka-smtp outbox page"


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Serve the page until Ctrl-C.

    Args:
        options: those of `add_page_arguments`.
        out: gets the address of the page.
        err: gets complaints, and a line for each thing that is done to an email.

    Returns:
        The exit status.

    Raises:
        OutboxError: the file cannot be read.
        BrokenPipeError: the reader of `out` has gone.
    """
    path, host = Path(options.path), str(options.host)
    token = os.environ.get(TOKEN)
    wrong = _wrong_options(options, token)
    if wrong is not None:
        print_lines(err, f"{_NAME}: {wrong}")
        return EX_USAGE
    is_made = token is None and not is_loopback(host)
    token = made_token() if is_made else token
    overview = Overview(path)
    try:
        overview.view("waiting", 1)
        access = Access(token, {host, socket.gethostname(), *options.name})

        def do(step: Step, alias: str, key: str) -> bool:
            return act(path, step, key, CANCELLED, alias=alias)

        desk = Desk(
            overview=overview,
            access=access,
            act=do,
            note=lambda line: print_lines(err, f"{_NAME}: {line}"),
        )
        with PageServer(host, options.port, desk) as server:
            _announce(server, path, host, token if is_made else None, out, err)
            with _interrupted_by_ctrl_c(server):
                server.serve_forever()
    except (BrokenPipeError, OutboxError):
        raise
    except OSError as error:
        print_lines(err, f"{_NAME}: cannot listen on {host}:{options.port}: {error.strerror}")
        return EX_OSERR
    except KeyboardInterrupt:
        return EX_OK  # it ends in no other way
    finally:
        overview.close()
    return EX_OK


@contextlib.contextmanager
def _interrupted_by_ctrl_c(server: PageServer) -> Generator[None]:
    """Have Ctrl-C end the server wherever it comes.

    Python drops what a signal handler raises while a callback of a weak reference runs, for
    instance of a thread that has just ended.
    """

    def interrupt(_number: int, _frame: object) -> None:
        server.is_interrupted = True
        raise KeyboardInterrupt

    is_ours = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if is_ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _wrong_options(options: argparse.Namespace, token: str | None) -> str | None:
    if not 0 <= options.port <= 65_535:
        return "--port needs a number from 0 to 65535"
    if token is not None and not (len(token) >= MIN_TOKEN and token.isascii()):
        return f"{TOKEN} needs at least {MIN_TOKEN} characters, in ASCII"
    return None


def _announce(
    server: PageServer, path: Path, host: str, token: str | None, out: TextIO, err: TextIO
) -> None:
    name = socket.gethostname() if host in {"", "0.0.0.0", "::"} else host  # noqa: S104
    name = f"[{name}]" if ":" in name else name
    print_lines(out, f"{path}: http://{name}:{server.port}/")
    if token is not None:
        print_lines(out, f"The token, shown this once: {token}")
    print_lines(out, "Ctrl-C ends the page. The outbox does not need it.")
    if not is_loopback(host):
        print_lines(
            err,
            f"{_NAME}: HTTP is not encrypted: who is on the way can read what the page shows, and"
            " the token. Better listen on 127.0.0.1 only, and use ssh -L, or a proxy with TLS.",
        )
