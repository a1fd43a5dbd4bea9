"""The disk fails: no receipt is worth less than it says, nothing hangs, nothing is heard twice."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers.effort import IS_THOROUGH

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "tests" / "servers" / "disk_faults.c"
FSYNC, WRITE = 1, 2


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile what lets the disk fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler, on Linux")
    made = tmp_path_factory.mktemp("library") / "disk_faults.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=50)
    return made


def outcomes(
    library: Path, folder: Path, faults: list[list[int]], mails: int = 6
) -> list[dict[str, Any]]:
    told = {"library": str(library), "folder": str(folder), "faults": faults, "mails": mails}
    program = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "servers" / "disk_faults.py"), json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=55 + 2 * len(faults),
        check=False,
        env=os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    assert program.returncode == 0, program.stderr[-3000:]
    return [json.loads(line) for line in program.stdout.splitlines()]


def judge(found: list[dict[str, Any]]) -> None:
    for one in found:
        assert (one["lost"], one["unheard"], one["heard_twice"]) == ([], [], 0), one
        assert one["drained"], one
        assert one["ended"], one
        assert (one["integrity"], one["left"]) == ("ok", 0), one
        # Whoever got no receipt knows why, in a line that names the file.
        assert all("mail.db" in line and "\n" not in line for line in one["errors"]), one
        if one["trouble"]:
            assert one["trouble"][-1] is None, one


FEW = [
    *([FSYNC, 6, 2, errno.EIO], [FSYNC, 9, 1, errno.EIO], [FSYNC, 12, 20, errno.EIO]),
    *([WRITE, 20, 3, errno.ENOSPC], [WRITE, 35, 1, errno.EIO], [WRITE, 50, 40, errno.ENOSPC]),
]


def test_a_failing_disk_breaks_no_promise(library: Path, tmp_path: Path) -> None:
    found = outcomes(library, tmp_path, FEW)

    judge(found)
    assert sum(one["failed"] for one in found) > 5


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "number"),
    [(FSYNC, errno.EIO), (WRITE, errno.ENOSPC)],
    ids=["EIO of an fsync", "ENOSPC of a write"],
)
def test_whichever_of_the_first_sixty_calls_fails_no_promise_is_broken(
    library: Path, tmp_path: Path, kind: int, number: int
) -> None:
    faults = [[kind, k, 1 + k % 4, number] for k in range(0, 60, 1 if IS_THOROUGH else 4)]

    found = outcomes(library, tmp_path, faults, mails=30)

    judge(found)
    assert len(found) == len(faults)
    # Each of them, but for the last few.
    assert sum(one["failed"] > 0 for one in found) > len(faults) * 5 // 6


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "number", "step"),
    [(FSYNC, errno.ENOSPC, 2), (WRITE, errno.EIO, 6), (WRITE, errno.ENOSPC, 7)],
    ids=["ENOSPC of an fsync", "EIO of a write", "ENOSPC of a later write"],
)
def test_whichever_later_call_fails_no_promise_is_broken(
    library: Path, tmp_path: Path, kind: int, number: int, step: int
) -> None:
    faults = [[kind, k * step, 1 + k % 4, number] for k in range(0, 20, 1 if IS_THOROUGH else 2)]

    found = outcomes(library, tmp_path, faults)

    judge(found)
    assert sum(one["failed"] > 0 for one in found) > len(faults) * 2 // 5
