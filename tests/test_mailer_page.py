"""What docs/mailer.md and docs/options.md say of a Mailer is true: code and tables."""

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.python import printed
from servers.sink import AiosmtpdServer

from pykka_smtp import Mailer, MailerStatistics, RetryPolicy, SmtpActor
from pykka_smtp.actors.mailer.options import MAILER_DEFAULTS
from pykka_smtp.actors.options.connection_options import DEFAULTS

PATH = Path(__file__).parents[1] / "docs" / "mailer.md"
PAGE = PATH.read_text()
OPTIONS = PATH.with_name("options.md").read_text()
HERE = 'server="localhost", port=25'
MAIL = 'SendMail(sender="me@example.com", recipients="you@example.org", body="Hello")'

Servers = Callable[..., AiosmtpdServer]


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def table(head: str) -> list[list[str]]:
    """Return the cells of the table whose first column has this head."""
    [_, rest] = PAGE.split(f"\n| {head} | ")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def defaults(of: type[Mailer | SmtpActor]) -> dict[str, Any]:
    [_, *parameters, _options] = inspect.signature(of.__init__).parameters.values()
    own = {parameter.name: parameter.default for parameter in parameters}
    return own | (MAILER_DEFAULTS if of is Mailer else DEFAULTS)


def run(code: str, server: AiosmtpdServer, more: str = "") -> str:
    """Run a block of code as a program, with this server, and perhaps more behind it."""
    here = f'server="{server.host}", port={server.port}'
    return printed("-W", "error", "-c", code.replace(HERE, here) + more)


def test_the_first_example_sends_all_and_tells_what_was_refused(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"reader7@example.org": "550 5.1.1 who?"})

    printed = run(blocks()[0], server)

    assert printed.count("not sent: reader7@example.org ") == 1
    assert "0 queued, 0 waiting for retry; 0 in flight; 20 submitted" in printed
    assert "19 sent, 1 failed (1 SMTP)" in printed
    assert server.accepted == 19


@pytest.mark.parametrize("number", [1, 3])
def test_an_example_of_options_is_one_that_a_mailer_takes(
    number: int, aiosmtpd_server: Servers
) -> None:
    server = aiosmtpd_server()
    before = "from pykka_smtp import Mailer, SendMail\n"

    # With two of them in a block, the first is stopped by the end of the program.
    printed = run(before + blocks()[number], server, f"print(mailer.ask({MAIL}))\nmailer.stop()\n")

    assert " accepted by " in printed


def test_the_example_of_the_retry_signal_shows_each_attempt(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"you@example.org": "450 4.2.0 greylisted"})
    more = f"""
from pykka_smtp import Mailer, RetryPolicy, SendMail
mailer = Mailer.start({HERE}, retry=RetryPolicy(max_attempts=2, initial_delay=0.01))
print(mailer.ask({MAIL}).attempts)
mailer.stop()
""".replace(HERE, f'server="{server.host}", port={server.port}')

    first, last = run(blocks()[2], server, more).splitlines()

    assert re.search(r" attempt 1 mailer: .* 450 4\.2\.0 greylisted .* again at 2", first)
    assert last == "2"


def test_the_example_of_more_mails_than_may_wait_sends_them_all(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server()
    # Fewer, and so less room, or it would take a minute.
    code = blocks()[4].replace("12_000", "300").replace("5_000", "20")
    code = code.replace("port=25)", "port=25, max_queued=25)")

    assert run(code, server) == "300 told\n"
    assert server.accepted == 300


def test_the_example_of_several_processes_sends_each_email_once(
    aiosmtpd_server: Servers, tmp_path: Path
) -> None:
    server = aiosmtpd_server()
    code = blocks()[5].replace(HERE, f'server="{server.host}", port={server.port}')
    program = tmp_path / "several.py"  # a file: its processes import it
    program.write_text(code.replace("5_000", "50"))

    assert printed("-W", "error", program) == "50 sent\n"
    assert server.accepted == 50


def test_all_the_code_of_the_page_is_run_here() -> None:
    assert len(blocks()) == 6


def options(heading: str) -> list[tuple[str, object]]:
    """Return name and default of each option below a heading of docs/options.md, in order."""
    [_, rest] = OPTIONS.split(f"\n## `{heading}`\n")
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| `([^`|]+)` \| ", rest.partition("\n## ")[0], re.MULTILINE
    )
    return [(name, ast.literal_eval(default)) for name, default in rows]


def test_the_table_of_options_has_those_that_an_smtp_actor_does_not_have() -> None:
    own, usual = defaults(Mailer), defaults(SmtpActor)

    assert options("Mailer.start") == [
        (name, default) for name, default in own.items() if usual.get(name, ...) != default
    ]


def test_a_mailer_takes_all_the_options_of_an_smtp_actor_as_the_page_says() -> None:
    own, usual = defaults(Mailer), defaults(SmtpActor)
    assert "A `Mailer` takes all options above, and these." in OPTIONS

    assert {name: own.get(name, ...) for name in usual} == usual | {"alias": "mailer"}


def test_the_table_of_the_retry_policy_is_complete() -> None:
    assert options("RetryPolicy") == list(dataclasses.asdict(RetryPolicy()).items())


def test_the_table_of_the_statistics_is_complete() -> None:
    named = [name for fields, _ in table("field") for name in re.findall(r"`(\w+)`", fields)]

    assert sorted(named) == sorted(MailerStatistics().as_dict())
