"""What is installed, and what works without being installed."""

import importlib.metadata
import shutil
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from servers.python import python
from servers.require import missing, require_module

ROOT = Path(__file__).parents[1]
FOLDERS = ("actors", "signals", "smtp")
STATIC = ROOT / "pykka_smtp" / "cli" / "outbox_page" / "static"
"""The page that `pykka-smtp outbox page` serves."""
NOT_SOURCE = shutil.ignore_patterns(
    *(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", ".coverage*", "htmlcov"),
    *("build", "dist", "*.egg-info", "node_modules", "results"),
)


def configuration() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        tools: dict[str, Any] = tomllib.load(file)["tool"]["setuptools"]
    return tools


def modules_of_the_package() -> set[Path]:
    """Return the path that each module of ours has below the folder it is installed in."""
    layers = {
        path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
    }
    others = {path.relative_to(ROOT) for path in (ROOT / "pykka_smtp").rglob("*.py")}
    return {"pykka_smtp" / path for path in layers} | {
        path
        for path in others
        if path.parts[1] not in FOLDERS  # those are links
    }


def copy_of_the_tree(target: Path) -> Path:
    shutil.copytree(ROOT, target, symlinks=True, ignore=NOT_SOURCE)
    return target


def test_the_packages_that_are_installed_are_the_folders_on_disk() -> None:
    on_disk = {".".join(module.parent.parts) for module in modules_of_the_package()}

    assert set(configuration()["packages"]) == on_disk


def test_each_package_is_built_from_the_folder_that_its_name_says() -> None:
    # A nested package is found in the folder of its layer.
    assert configuration()["package-dir"] == {
        name: name.removeprefix("pykka_smtp.")
        for name in ("pykka_smtp", *(f"pykka_smtp.{folder}" for folder in FOLDERS))
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_import_package_links_to_each_folder(folder: str) -> None:
    link = ROOT / "pykka_smtp" / folder
    if (ROOT / "PKG-INFO").exists():
        pytest.skip("an sdist has no links")

    assert link.is_symlink()
    # Relative: an absolute one would work for whoever made it, and for nobody else.
    assert str(link.readlink()) == f"../{folder}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_bare_folder_name_cannot_be_imported(folder: str) -> None:
    done = python("-c", f"import {folder}", cwd=ROOT)

    assert done.returncode != 0
    assert f"ImportError: import pykka_smtp.{folder}, not the bare folder name" in done.stderr


@pytest.mark.parametrize("name", ["pykka-smtp", "main", "smtp", "with space"])
def test_a_plain_checkout_works_whatever_its_folder_is_called(name: str, tmp_path: Path) -> None:
    if (ROOT / "PKG-INFO").exists():
        pytest.skip("an sdist has no links, so it must be installed")
    clone = copy_of_the_tree(tmp_path / name)
    code = (
        "import pykka_smtp, pykka_smtp.actors, pykka_smtp.signals;"
        "import pykka_smtp.smtp.words.reply as r;"
        "print(r.__file__)"
    )

    # -S, and the folder of the installed packages as a plain folder: the dependencies are there,
    # but an editable install of this package is not.
    packages = sysconfig.get_path("purelib")
    done = python("-S", "-W", "error", "-c", code, cwd=clone, env={"PYTHONPATH": packages})

    assert done.stderr == ""
    assert Path(done.stdout.strip()) == clone / "pykka_smtp" / "smtp" / "words" / "reply.py"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and from the sdist the wheel, as an upload would be built."""
    require_module("build")
    if int(importlib.metadata.version("setuptools").split(".")[0]) < 77:
        missing("setuptools is older than 77")
    source = copy_of_the_tree(tmp_path_factory.mktemp("source") / "pykka-smtp")
    target = tmp_path_factory.mktemp("dist")
    done = python("-m", "build", "--no-isolation", "--outdir", str(target), str(source), cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    expected = {module.as_posix() for module in modules_of_the_package()}
    plugin = {f"{module}.py" for module in configuration()["py-modules"]}
    page = {path.relative_to(ROOT).as_posix() for path in STATIC.iterdir()}
    assert len(page) == 4
    assert names == expected | plugin | page | {"pykka_smtp/py.typed"}


def test_the_sdist_holds_what_a_distributor_needs(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    expected = {
        str(path.relative_to(ROOT))
        for folder in (*FOLDERS, "tests", "examples", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    needed = {"LICENSE", "README.md", "CONTRIBUTING.md", "pyproject.toml", ".ci/run"}
    assert names >= expected | needed
    # The links of the import package would bring each module twice.
    assert not {
        name for name in names for folder in FOLDERS if name.startswith(f"pykka_smtp/{folder}/")
    }
    assert not {name for name in names if name.endswith(".pyc")}
