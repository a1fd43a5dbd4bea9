"""Layers and packages: docs/architecture.md shows those on disk."""

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
LAYERS = ("actors", "signals", "smtp")
PUBLIC = {"pykka_smtp/testing", "pykka_smtp/django"}
"""Packages that a program imports by their name."""
PACKAGES = sorted(
    path.parent.relative_to(ROOT)
    for layer in (*LAYERS, "pykka_smtp")
    for path in (ROOT / layer).rglob("*/__init__.py")
    if not (ROOT / layer / path.relative_to(ROOT / layer).parts[0]).is_symlink()
)
MOST = 12
"""Modules in one package, beside its ``__init__.py``: more are not seen at a glance."""


def picture() -> str:
    return PAGE.read_text(encoding="utf-8").split("```")[1]


def drawn_in(folder: Path) -> set[str]:
    """Return the packages that the picture shows in a folder: those named on its line."""
    start = f" {folder.as_posix()}/ "
    [line] = [line for line in picture().splitlines() if line.startswith(start)]
    return set(re.findall(r"(\w+)/", line.removeprefix(start)))


@pytest.mark.parametrize(
    "folder", sorted({*map(Path, LAYERS), *(r.parent for r in PACKAGES)}), ids=str
)
def test_each_package_on_disk_is_on_the_picture_and_no_other(folder: Path) -> None:
    assert drawn_in(folder) == {package.name for package in PACKAGES if package.parent == folder}


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_says_what_is_in_it_and_imports_nothing_by_itself(package: Path) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))

    assert "Never" in (ast.get_docstring(tree) or "")
    if str(package) in PUBLIC:  # it gives names, and those are its own modules'
        assert all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in tree.body)
        assert all(node.level == 1 for node in tree.body if isinstance(node, ast.ImportFrom))
    else:
        assert len(tree.body) == 1


@pytest.mark.parametrize("package", [*map(Path, (*LAYERS, "pykka_smtp")), *PACKAGES], ids=str)
def test_a_package_has_so_few_files_that_they_are_seen_at_a_glance(package: Path) -> None:
    assert len({path.name for path in (ROOT / package).glob("*.py")} - {"__init__.py"}) <= MOST


def test_each_file_that_the_page_names_is_there() -> None:
    named = re.findall(rf"(?:{'|'.join(LAYERS)}|pykka_smtp)/[\w/]+\.py", PAGE.read_text("utf-8"))

    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).is_file()] == []


# Import cycles


def modules() -> dict[str, Path]:
    """Return the file of each module, by the name it is imported by."""
    found = {}
    for folder in (*LAYERS, "pykka_smtp", "fuzz", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if folder == "pykka_smtp" and parts[1] in LAYERS:  # one of the links
                continue
            if folder in LAYERS:
                parts = ("pykka_smtp", *parts)
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported_by(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules that one imports: at once, late, and for type checkers only."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield from [inner] if inner in known else [source] if source in known else []


def test_no_two_modules_import_each_other_in_any_way() -> None:
    known = modules()
    graph = {name: set(imported_by(name, path, known)) for name, path in known.items()}
    assert "pykka_smtp.smtp.words.reply" in graph["pykka_smtp.smtp.words.verdict"]

    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]), pytrace=False)
