"""docs/smime-and-pgp.md: its commands and examples run, and its tables are complete."""

import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.require import require, require_module

from pykka_smtp import Pgp, Smime

require_module("cryptography")
require_module("pysequoia")

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "smime-and-pgp.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^\$ ((?:openssl|gpg) .*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Yield a folder in which the commands of the page were run."""
    for program in ("openssl", "gpg", "gpgconf"):
        require(program)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="gpg") as name:
        environment = {**os.environ, "GNUPGHOME": name}
        try:
            for command in COMMANDS:
                subprocess.run(
                    ["sh", "-c", command],
                    cwd=name,
                    env=environment,
                    check=True,
                    capture_output=True,
                    timeout=50,
                )
            yield Path(name)
        finally:
            subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, timeout=50)


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_on_the_page_is_a_program_that_runs(number: int, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXAMPLES[number]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert done.returncode == 0, done.stderr
    assert " accepted for 1 of 1 recipients: " in done.stdout
    assert "not sent" not in done.stdout


def test_the_page_has_the_commands_that_its_examples_need() -> None:
    assert len(COMMANDS) == 6
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("kind", [Smime, Pgp])
def test_the_tables_have_each_argument(kind: type) -> None:
    table = PAGE[PAGE.index(f"| argument of `{kind.__name__}` |") :].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert named == list(inspect.signature(kind).parameters)
