"""The pages for users and contributors: their links lead somewhere, their tables are complete."""

import dataclasses
import re
from pathlib import Path

import pytest

import pykka_smtp
from pykka_smtp import SendFailure, SendSuccess

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def without_code(text: str) -> str:
    """Return a page without its blocks of code: a comment in one is no heading."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return what a link can name on a page: its headings, as forges write them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_exists(page: Path) -> None:
    text = without_code(page.read_text())

    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_each_page_can_be_reached_from_the_readme() -> None:
    reached, new = set[Path](), {ROOT / "README.md"}
    while new:
        reached |= new
        links = {
            (page.parent / target.partition("#")[0]).resolve()
            for page in new
            for target in re.findall(r"\]\((?!https?:|#)([^)]+\.md[^)]*)\)", page.read_text())
        }
        new = links - reached

    assert set(PAGES) - reached == set()


def rows(page: str) -> list[list[str]]:
    """Return the cells of all rows whose first cell is a name in backticks."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if re.match(r"\| `\w+` \|", line)
    ]


def test_the_page_of_the_api_has_each_public_name_once_with_a_link() -> None:
    cells = rows("api.md")

    assert sorted(name.strip("`") for name, *_ in cells) == sorted(pykka_smtp.__all__)
    for name, meaning, link in cells:
        assert meaning.endswith("."), name
        assert re.fullmatch(r"\[[^]]+\]\([^)]+\)", link), name


def attributes(cls: type[SendSuccess | SendFailure]) -> set[str]:
    """Return the names of a class's fields and properties."""
    fields = {field.name for field in dataclasses.fields(cls)}
    return fields | {name for name in dir(cls) if isinstance(getattr(cls, name), property)}


def test_the_tables_of_an_outcomes_attributes_are_complete() -> None:
    success, failure = attributes(SendSuccess), attributes(SendFailure)
    common = success & failure

    named = [name.strip("`") for name, *_ in rows("outcomes.md")]

    assert len(named) == len(set(named))
    assert set(named[: len(common)]) == common
    assert set(named[len(common) :]) == success ^ failure
