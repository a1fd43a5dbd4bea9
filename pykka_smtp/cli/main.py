"""The command line: ``python -m pykka_smtp``, or ``pykka-smtp``."""

import argparse
import errno
import importlib.util
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from ..quiet_start import COMMAND, stop_ending_quietly
from .dkim.arguments import add_commands
from .help_format import HelpFormatter
from .merge.arguments import add_arguments as add_merge_arguments
from .options import add_arguments, add_without
from .outbox.arguments import add_arguments as add_outbox_arguments
from .standard_streams import let_go_of_stdout, standard_streams
from .sysexits import EX_IOERR, EX_OK, EX_OSERR, EX_SOFTWARE, EX_UNAVAILABLE, EX_USAGE, SIGNALLED

_SENDMAIL = "sendmail"
_SIGHUP = 1  # Windows has none
_CREDENTIALS = re.compile(r"://.*@")

_EPILOG = """\
exit status: 0 done, 64 wrong usage, 65 wrong data, 66 no input, 68 unknown host, 69 service
unavailable, 70 internal error, 71 system error, 73 cannot create a file, 74 cannot write the
output, 75 try again later, 76 protocol error, 77 not allowed or not safe, 78 wrong configuration,
130 interrupted.

In a program:

  from pykka_smtp import SendMail, SmtpActor
  mail = SendMail(
      sender="me@example.com",
      recipients="you@example.org",
      body="Hello")
  outcome = SmtpActor.start("localhost", 25).ask(mail)
  print(outcome)
"""


class _Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that exits with EX_USAGE instead of 2 on wrong usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=HelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        # The message may quote a relay URL with a password, given in the wrong place.
        message = _CREDENTIALS.sub("://***@", message)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n{self.format_usage()}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the arguments, without the program's name. Default: those of this process.

    Returns:
        The exit status.
    """
    with standard_streams():
        try:
            stop_ending_quietly()
            return _run(arguments)
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            return SIGNALLED + signal.SIGINT


def sendmail(arguments: Sequence[str] | None = None) -> int:
    """Run the command ``sendmail`` alone: ``pykka-smtp-sendmail``, as programs call it.

    Args:
        arguments: as `main` has it.

    Returns:
        The exit status.
    """
    return main([_SENDMAIL, *(sys.argv[1:] if arguments is None else arguments)])


def _run(arguments: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == [_SENDMAIL]:
        # Its options are those of all sendmails, which argparse cannot read.
        return _printing(lambda: _sendmail(words[1:]))
    parser = _build_parser()
    options = parser.parse_args(words)
    if options.run is None:
        parser.print_help()
        return EX_OK
    return _printing(lambda: options.run(options))


def _printing(run: Callable[[], int]) -> int:
    """Run a command whose reader may go away before it ends."""
    try:
        status = run()
    except BrokenPipeError as error:
        return _without_reader(error, EX_OK)
    try:
        sys.stdout.flush()
    except OSError as error:
        return _without_reader(error, status)
    return status


def _without_reader(error: OSError, status: int) -> int:
    """Return the status for output that can't be written, because its reader (`head`) has gone."""
    let_go_of_stdout()
    if status >= SIGNALLED:  # a signal is the more important reason
        return status
    # EIO means that the terminal was closed; not every process of it gets SIGHUP.
    return SIGNALLED + _SIGHUP if error.errno == errno.EIO else EX_IOERR


def _build_parser() -> argparse.ArgumentParser:
    is_module = Path(sys.argv[0]).name == "__main__.py"
    parser = _Parser(
        prog="python -m pykka_smtp" if is_module else COMMAND,
        description="An SMTP client for actor programs.",
        epilog=_EPILOG,
    )
    parser.set_defaults(run=None)
    parser.add_argument("--version", action="version", version=f"pykka-smtp {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="send seven emails to servers on this machine, and show the signals",
        description="Start an SMTP server and some that misbehave, on free loopback ports, send"
        " an email for each way in which a send can end, and show each signal as it arrives. Then"
        " put five emails into an outbox, kill the process that sends them, and send them all the"
        " same. Nothing leaves this machine.",
    )
    demo.set_defaults(run=_demo)
    verify = commands.add_parser(
        "verify",
        help="check whether a server accepts email, and what it offers, without sending any",
        description="Connect to a server, start TLS and log in as a send would, send QUIT, and"
        " print the server's replies. No email is sent. While the command runs, all users of this"
        " machine can see a password in the URL: put the URL into SMTP_URL instead.",
    )
    verify.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="a relay URL, such as smtp://user:password@host:587;"
        " by default SMTP_URL from the environment",
    )
    verify.add_argument(
        "-v", "--verbose", action="store_true", help="print the session, secrets redacted"
    )
    add_without(verify)
    verify.set_defaults(run=_verify)
    send = commands.add_parser(
        "send", help="send an email to many recipients, with a report of each recipient's result"
    )
    add_arguments(send)
    send.set_defaults(run=_send)
    merge = commands.add_parser(
        "merge", help="send an email to each row of a CSV file, made of templates"
    )
    add_merge_arguments(merge)
    merge.set_defaults(run=_merge)
    preview = commands.add_parser(
        "preview",
        help="show the fields and the parts of an email in a file",
        description="Print the header of an email, decoded, and its parts: how they are nested,"
        " their types, encodings, sizes and names. Nothing is sent.",
    )
    preview.add_argument("mail", metavar="MAIL", help="a file with the email; - for stdin")
    preview.set_defaults(run=_preview)
    outbox = commands.add_parser(
        "outbox", help="look at the file of an Outbox, change what waits in it, and send it"
    )
    add_outbox_arguments(outbox)
    add_commands(commands)
    commands.add_parser(  # for the list; its own help is its own
        _SENDMAIL, help="pass an email from standard input on, as programs expect of sendmail"
    )
    return parser


def _demo(_options: argparse.Namespace) -> int:
    if importlib.util.find_spec("rich") is None:
        print(
            "pykka-smtp demo: needs rich; install the extra with"
            " pip install 'pykka-smtp[demo]', or in a clone with pip install -e '.[demo]'",
            file=sys.stderr,
        )
        return EX_UNAVAILABLE
    from .demo import demo, second_act

    try:
        done = demo.run(sys.stdout, sys.stderr)
        done = second_act.run(sys.stdout, sys.stderr) and done
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in {errno.EIO, errno.ENOSPC}:  # from the output; sockets don't raise these
            raise BrokenPipeError(error.errno, error.strerror) from error
        print(f"pykka-smtp demo: cannot use the loopback interface: {error}", file=sys.stderr)
        return EX_OSERR
    return EX_OK if done else EX_SOFTWARE


def _verify(options: argparse.Namespace) -> int:
    from .verify import run

    return run(
        options.url, sys.stdout, sys.stderr, verbose=options.verbose, without=options.without
    )


def _preview(options: argparse.Namespace) -> int:
    from .preview import run

    return run(options.mail, sys.stdout, sys.stderr)


def _send(options: argparse.Namespace) -> int:
    from .send.send import run

    return run(options, sys.stdout, sys.stderr)


def _merge(options: argparse.Namespace) -> int:
    from .merge.merge import run

    return run(options, sys.stdout, sys.stderr)


def _sendmail(words: Sequence[str]) -> int:
    from .sendmail.sendmail import run

    return run(words, sys.stdout, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
