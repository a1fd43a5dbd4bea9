"""docs/templates.md: its examples run, and what it says of the command is so."""

import re
import shlex
from pathlib import Path

import pytest
from servers.python import printed

from pykka_smtp.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "templates.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_on_the_templates_page_runs(number: int) -> None:
    said = printed("-W", "error", "-c", EXAMPLES[number])

    if "print(" in EXAMPLES[number]:
        assert said == "2 told\n" or " accepted for 1 of 1 recipients: " in said
    assert "not sent" not in said


def test_the_commands_on_the_page_do_what_they_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "june/subject.txt": "The news of June, {{ name }}",
        "june/body.txt": "Dear {{ name }}",
        "june/body.html": '<p>Dear {{ name }}<img src="cid:logo.png">',
        "june/inline/logo.png": "x",
        "june/attachments/programme.pdf": "x",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    rows = (f"u{number}@example.org,Ann,b2d0e{number}\n" for number in range(1000))
    (tmp_path / "people.csv").write_text("email,name,token\n" + "".join(rows))
    shown = PAGE.replace("\\\n", "")
    look, send = re.findall(r"^\$ pykka-smtp (merge .*)$", shown, re.MULTILINE)
    [would] = re.findall(r"^would send .*$", PAGE, re.MULTILINE)

    assert main.main(shlex.split(look)) == 0
    assert capsys.readouterr().out == f"{would}\n"

    monkeypatch.setenv("SMTP_URL", "record:")
    assert main.main(shlex.split(send.replace("--rate 10/s", ""))) == 0
    assert "accepted    1000\n" in capsys.readouterr().out
    assert (tmp_path / "june.csv").read_text().count("\n") == 1001
