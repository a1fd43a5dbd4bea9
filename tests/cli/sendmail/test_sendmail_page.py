"""docs/sendmail.md: what it shows can be done, and its tables are complete."""

import re
from pathlib import Path

import pytest
from servers.submitting import Submitter

from pykka_smtp.cli import sysexits
from pykka_smtp.cli.sendmail import settings
from pykka_smtp.cli.sendmail.arguments import UsageError, read_arguments

PAGE = (Path(__file__).parents[3] / "docs" / "sendmail.md").read_text()
[TOML] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
[CONSOLE] = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
STATUSES = re.findall(r"^\| (\d+) \| `(EX_\w+)` \|", PAGE, re.MULTILINE)


def column(title: str) -> list[str]:
    """Return the names in the first column of a table."""
    [_, rest] = PAGE.split(f"\n| {title} | ")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def written(submit: Submitter, text: str) -> settings.Settings:
    submit.file.write_text(text)
    submit.file.chmod(0o600)
    return settings.read_settings()


def test_the_settings_on_the_page_are_valid_and_have_all_there_are(submit: Submitter) -> None:
    found = written(submit, TOML)

    assert len(found.urls) == 2
    assert (found.domain, found.sender) == ("example.com", "vm@example.com")
    assert found.addresses_of("root") == ("me@example.com", "you@example.org")
    assert found.addresses_of("nobody") == ("me@example.com",)
    assert found.addresses_of("you@x.test") == ("you@x.test",)
    assert column("setting") == list(settings._KEYS)


def test_the_file_in_the_first_example_is_valid(submit: Submitter) -> None:
    lines = [line for line in CONSOLE.splitlines() if not line.startswith("$")]

    assert written(submit, "\n".join(lines)).domain == "example.com"


@pytest.mark.parametrize("option", column("option"))
def test_an_option_on_the_page_is_one(option: str) -> None:
    name, _, value = option.partition(" ")
    needed = {"-N": "never", "-R": "full", "-V": "1"}.get(name, value)
    try:
        read_arguments([name, needed] if needed else [name])
    except UsageError:
        assert option in {"-bs", "-bd", "-bv"}


def test_each_status_has_the_name_that_sysexits_has() -> None:
    assert len(STATUSES) == 11
    for number, name in STATUSES:
        assert getattr(sysexits, name) == int(number)


def test_the_help_lists_the_same_statuses(submit: Submitter) -> None:
    assert submit("--help") == 0
    [_, statuses] = submit.out.split("exit status: ")
    assert re.findall(r"\b(\d+) ", statuses) == [number for number, _ in STATUSES]
