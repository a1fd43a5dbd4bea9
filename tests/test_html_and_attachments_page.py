"""docs/html-and-attachments.md: its examples run, and it names what there is."""

import re
from pathlib import Path

import pytest
from servers.python import printed

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "html-and-attachments.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NAMES = {"Attachment", "Html", "Unsubscribe", "FROM_HTML", "autoreply", "AutoreplyRefused"}


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_on_the_page_is_a_program_that_runs(number: int) -> None:
    said = printed("-W", "error", "-c", EXAMPLES[number])

    if "print(" in EXAMPLES[number]:
        assert said == "answers her@example.org\n" or " accepted for 1 of 1 recipients: " in said
    assert "not sent" not in said


def test_the_page_names_all_that_makes_parts() -> None:
    assert set(re.findall(r"\w+", PAGE)) >= NAMES
