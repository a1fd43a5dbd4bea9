"""What programs need takes as few lines as docs/coming-from-others.md says; each of them runs."""

import re
from pathlib import Path

import pytest
from servers.python import python
from servers.require import require_module

ROOT = Path(__file__).parents[1]
NEEDS = sorted((ROOT / "examples" / "needs").glob("*.py"))
FRAMEWORKS = {"flask_application": "flask", "celery_task": "celery"}
RECORD = {"PYKKA_SMTP_URL_ALL": "record:"}


def needed(text: str) -> int:
    """Count the lines between the two marks, which may come more than once."""
    parts = re.findall(r"^ *# begin\n(.*?)^ *# end$", text, re.MULTILINE | re.DOTALL)
    assert parts
    return sum(lines.count("\n") for lines in parts)


def ours() -> dict[str, int]:
    """Read the column of the page's table that is ours, by the name of the example."""
    page = (ROOT / "docs" / "coming-from-others.md").read_text()
    rows = re.findall(r"\]\(\.\./examples/needs/(\w+)\.py\) \| \*\*(\d+)\*\* \|", page)
    return {name: int(lines) for name, lines in rows}


def test_the_page_says_how_many_lines_each_need_takes() -> None:
    assert ours() == {path.stem: needed(path.read_text()) for path in NEEDS}


@pytest.mark.long
@pytest.mark.parametrize("path", NEEDS, ids=lambda path: path.stem)
def test_what_a_need_takes_runs(path: Path) -> None:
    if path.stem in FRAMEWORKS:
        require_module(FRAMEWORKS[path.stem])
    is_test = path.stem.startswith("test_")
    how = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null") if is_test else ()

    done = python(*how, path, env=RECORD, cwd=path.parent)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "not sent" not in done.stdout
