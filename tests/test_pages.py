"""The pages for users and contributors: their links lead somewhere, their tables are complete."""

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import pykka_smtp.testing
from pykka_smtp import SendFailure, SendSuccess

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
REFERENCE = sorted(ROOT.glob("docs/reference/*.md"))
OURS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]
"""Where the repository is on the web. The README links to it, as a package index shows it, too."""


def without_code(text: str) -> str:
    """Return a page without its blocks of code: a comment in one is no heading."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return what a link can name on a page: its headings, as forges write them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Give the files that a page links to, and what it names in each, or ""."""
    text = without_code(page.read_text())
    targets = re.findall(r"\]\(([^)]+)\)", text)
    targets += re.findall(r"^\[[^]]+\]: (\S+)$", text, re.MULTILINE)
    for target in targets:
        path, _, anchor = target.partition("#")
        if path.startswith(f"{OURS}/blob/main/"):
            yield ROOT / path.removeprefix(f"{OURS}/blob/main/"), anchor
        elif not path.startswith(("http:", "https:")):
            yield page.parent / path if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_exists(page: Path) -> None:
    for linked, anchor in links(page):
        assert linked.exists(), linked
        assert not anchor or anchor in anchors(linked), f"{linked}#{anchor}"


def test_each_name_of_a_link_in_the_readme_is_defined_once_and_used() -> None:
    text = without_code((ROOT / "README.md").read_text())
    prose, *definitions = re.split(r"^(?=\[[^]]+\]: )", text, flags=re.MULTILINE)
    defined = [line.partition("]: ")[0].removeprefix("[") for line in definitions]
    used = re.findall(r"\[[^]]+\]\[([^]]+)\]", prose) + re.findall(r"\[([^]`]+\.md)\](?!\[)", prose)

    assert sorted(set(used)) == sorted(defined)


def test_the_readme_has_no_link_that_a_package_index_cannot_follow() -> None:
    text = without_code((ROOT / "README.md").read_text())

    assert re.findall(r"\]\((?!https://)[^)]*\)", text) == []


def test_each_page_can_be_reached_from_the_readme() -> None:
    reached, new = set[Path](), {ROOT / "README.md"}
    while new:
        reached |= new
        linked = {link.resolve() for page in new for link, _ in links(page)}
        new = {page for page in linked if page.suffix == ".md"} - reached

    assert set(PAGES) - reached == set()


def test_the_reference_has_each_public_name_once() -> None:
    pages = "".join(page.read_text() for page in REFERENCE)
    named = re.findall(r"^::: pykka_smtp\.(\S+)$", pages, re.MULTILINE)
    ours = [name for name in named if "." not in name]
    for_tests = [name.removeprefix("testing.") for name in named if name.startswith("testing.")]

    assert sorted(ours) == sorted(pykka_smtp.__all__)
    assert sorted(for_tests) == sorted(pykka_smtp.testing.__all__)


def test_the_site_links_to_the_repository_of_the_project() -> None:
    assert f"\nrepo_url: {OURS}\n" in (ROOT / "mkdocs.yml").read_text()


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
