"""What type checkers know: a typed program, the pages' programs, and each public name.

Public is what has no underscore, in any module: a type that must be inferred is not known.
With the wheel, and with an editable install: checkers find the one like any package, and the other
by the path that it adds.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_SOURCE = shutil.ignore_patterns(
    *(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", ".coverage*", "htmlcov"),
    *("build", "dist", "*.egg-info", "node_modules", "results"),
)
STRICT = """{"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": true}"""
UNKNOWN_MEMBERS = "# pyright: reportUnknownMemberType=false\n"
UNTYPED = {
    "import trustme": UNKNOWN_MEMBERS,
    "from flask import": UNKNOWN_MEMBERS,  # its `config` is a dict of anything
    "from celery import": UNKNOWN_MEMBERS
    + '# mypy: disable-error-code="import-untyped,untyped-decorator"\n'
    + "# pyright: reportMissingTypeStubs=false, reportUntypedFunctionDecorator=false\n"
    + "# pyright: reportUnknownVariableType=false\n",
}
"""What is not reported where a program has a library whose types are not complete."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

for module in ("build", "mypy", "pyright"):
    pytest.importorskip(module)


def run(*command: str | Path, cwd: Path, python: Path) -> str:
    """Run a command, as in the environment of an interpreter; return what it printed."""
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {"PATH": path, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def environment(folder: Path) -> Path:
    """Make one that has what this one has, except for this package; return its interpreter."""
    run(
        sys.executable,
        "-m",
        "venv",
        "--without-pip",
        folder,
        cwd=folder.parent,
        python=Path(sys.executable),
    )
    [packages] = folder.glob("lib/python*/site-packages")
    # A folder named in a .pth file is added, but the .pth files in it are not read: an editable
    # install of ours in there is not seen.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


# So that `--dist loadgroup` makes each environment once.
INSTALLS = [
    pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("wheel", "editable")
]


@pytest.fixture(scope="module", params=INSTALLS)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package; return the interpreter of its environment."""
    folder = tmp_path_factory.mktemp(request.param)
    source = folder / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=NOT_SOURCE)
    made = environment(folder / "venv")
    if request.param == "wheel":
        here = Path(sys.executable)
        run(here, "-m", "build", "-n", "-w", "-o", folder, source, cwd=folder, python=here)
        [wheel] = folder.glob("*.whl")
        [packages] = made.parents[1].glob("lib/python*/site-packages")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)
    else:
        here = Path(sys.executable)
        pip = (here, "-m", "pip", "--python", made, "install", "--no-build-isolation", "--no-deps")
        run(*pip, "-e", source, cwd=folder, python=here)
    return made


GO_ON = {"pykka.md"}
"""Pages on which each block goes on where the one before ended."""


def programs() -> Iterator[tuple[str, str]]:
    """Give the pages' programs, and their names: the blocks of Python that import something."""
    for page in PAGES:
        if page.name == "django.md":  # Django has no types; tests/with_django runs the page
            continue
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        if page.name in GO_ON:
            blocks = ["".join(blocks)]
        for number, code in enumerate(blocks):
            if re.search(r"^(import|from) ", code, re.MULTILINE):
                yield f"{page.stem.replace('-', '_').lower()}_{number}.py", code


def check(folder: Path, python: Path) -> None:
    """Have mypy and pyright check the programs in a folder, as strictly as they can."""
    (folder / "pyrightconfig.json").write_text(STRICT)
    here = Path(sys.executable)
    mypy = (here, "-m", "mypy", "--strict", "--cache-dir", folder / "cache")
    run(*mypy, "--python-executable", python, ".", cwd=folder, python=python)
    run(here, "-m", "pyright", "--pythonpath", python, cwd=folder, python=python)


def test_checkers_know_the_types_of_answers_outcomes_and_options(
    python: Path, tmp_path: Path
) -> None:
    shutil.copy(Path(__file__).with_name("typed_program.py"), tmp_path)

    check(tmp_path, python)


def test_the_programs_of_the_pages_pass_strict_checks(python: Path, tmp_path: Path) -> None:
    found = dict(programs())
    assert len(found) > 15
    for name, code in found.items():
        head = "".join(comment for text, comment in UNTYPED.items() if text in code)
        (tmp_path / name).write_text(head + code)

    check(tmp_path, python)


def test_the_type_of_each_public_name_is_known(python: Path, tmp_path: Path) -> None:
    here = Path(sys.executable)
    command = (here, "-m", "pyright", "--verifytypes", "pykka_smtp", "--ignoreexternal")

    printed = run(*command, cwd=tmp_path, python=python)

    assert "Type completeness score: 100%" in printed
