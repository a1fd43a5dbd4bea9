"""What docs/outbox.md says is true: its code runs, its tables are complete."""

import ast
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from servers.program import Program

from pykka_smtp import Put
from pykka_smtp.actors.mailer.options import MAILER_DEFAULTS
from pykka_smtp.actors.outbox.options import OUTBOX_DEFAULTS, RETRY

PATH = Path(__file__).parents[1] / "docs" / "outbox.md"
PAGE = PATH.read_text()
OPTIONS = PATH.with_name("options.md").read_text()
HERE = 'server="localhost", port=25'


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(number: int, server: Any, folder: Path) -> list[str]:
    here = f'server="{server.host}", port={server.port}'
    code = blocks()[number].replace(HERE, here)
    for name in ("mail.db", "app.db"):
        code = code.replace(f'"{name}"', repr(str(folder / name)))
    with Program(code, loop="asyncio") as program:
        lines = program.end(within=30)
        assert program.status == 0, program.errors
        return lines


def test_the_first_screen_says_that_the_default_is_at_least_once() -> None:
    assert "**By default at least once.**" in "\n".join(PAGE.splitlines()[:40])


def test_the_first_example_sends_although_the_program_ends_at_once(
    server: Any, tmp_path: Path
) -> None:
    lines = run(0, server, tmp_path)
    again = run(0, server, tmp_path)

    assert lines[0] == "order-4711 False"
    assert again[0] == "order-4711 True"
    # It goes in the grace of the first program, or with the second: once.
    assert server.accepted == 1
    assert sum(line.startswith("accepted:") for line in lines + again) == 1


def test_what_waits_can_be_found_and_cancelled(server: Any, tmp_path: Path) -> None:
    lines = run(1, server, tmp_path)

    assert lines[:3] == ["reminder-7 you@example.org 0", "True", "True"]
    assert "1 done" in lines[3]
    assert server.mails == ()


def test_two_outboxes_on_one_file_start_and_stop(server: Any, tmp_path: Path) -> None:
    assert run(2, server, tmp_path) == []


def test_what_is_handed_over_in_a_transaction_is_sent(server: Any, tmp_path: Path) -> None:
    assert run(3, server, tmp_path) == []

    assert server.accepted == 1


def test_every_block_was_run() -> None:
    assert len(blocks()) == 4


def test_the_arguments_of_put_are_all_there() -> None:
    [_, rest] = PAGE.split("| argument of `Put` | meaning |\n")
    named = re.findall(r"^\| `(\w+)` \|", rest.partition("\n\n")[0], re.MULTILINE)

    fields = [field.name for field in dataclasses.fields(Put) if field.init]
    assert named == fields[1:]


def test_the_options_are_those_that_differ_from_a_mailers() -> None:
    [_, rest] = OPTIONS.split("## `Outbox.start`")
    rows = re.findall(
        r"^\| `(\w+)` \| .*? \| .*? \| (.*?) \|", rest.partition("## `Retry")[0], re.MULTILINE
    )
    own = {
        name: value
        for name, value in OUTBOX_DEFAULTS.items()
        if name not in MAILER_DEFAULTS or value != MAILER_DEFAULTS[name]
    }

    assert {name for name, _ in rows} == {"path", *own}
    for name, shown in rows:
        if name not in ("path", "retry"):
            assert ast.literal_eval(shown.strip("`")) == own[name]
    assert (RETRY.max_attempts, RETRY.at_least_once) == (100, True)


@pytest.mark.parametrize("module", ["sqlite3", "pykka_smtp.actors.outbox.outbox"])
def test_a_program_without_an_outbox_does_not_pay_for_it(module: str) -> None:
    code = f"import sys, pykka_smtp; pykka_smtp.Mailer; print({module!r} in sys.modules)"
    with Program(code, loop="asyncio") as program:
        assert program.done(within=30) == ["False"]
