"""docs/signatures.md: its examples run, and its table is complete."""

import inspect
import re
from pathlib import Path

import pytest
from servers.python import printed
from servers.require import require_module

from pykka_smtp import Dkim

require_module("cryptography")

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "signatures.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_on_the_page_is_a_program_that_runs(number: int) -> None:
    said = printed("-W", "error", "-c", EXAMPLES[number])

    assert " accepted for 1 of 1 recipients: " in said
    assert "not sent" not in said


def test_the_table_has_each_argument_of_dkim() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)

    assert named[:4] == list(inspect.signature(Dkim).parameters)
