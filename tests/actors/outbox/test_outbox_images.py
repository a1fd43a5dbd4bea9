"""The power goes at any moment: whatever the disk has then, all that was promised is in it.

An image is what is left of the file and its log. Of what was not fsynced, any part may be there:
all, nothing, or some sectors.
"""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from servers.effort import times

from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore

ROOT = Path(__file__).parents[3]
SECTOR = 512
CHANCE = random.Random(1)  # noqa: S311
SENT = {"dot", "told", "heard"}


@dataclass
class Image:
    """What is left after a power cut.

    Attributes:
        name: which.
        db: the file.
        wal: its log.
        before: how many fsyncs there were: what was promised before the last of them ended holds.
    """

    name: str
    db: bytes
    wal: bytes
    before: int


@dataclass
class Run:
    """A run of a program, image by image.

    Attributes:
        said: what was promised, of which email, after how many fsyncs.
        synced: which file each fsync was of: ``"d"`` or ``"w"``.
        folder: where the copies are.
    """

    said: list[tuple[str, str, int]]
    synced: list[str]
    folder: Path

    def copy(self, number: int, which: str) -> bytes:
        """Return what a file had after an fsync."""
        path = self.folder / f"{number:06}-{self.synced[number]}-{which}"
        return path.read_bytes() if path.exists() else b""

    def images(self, chance: random.Random) -> Iterator[Image]:
        """Yield what may be left, at each fsync."""
        on_disk = {"d": self.copy(0, "d"), "w": self.copy(0, "w")}
        for number, which in enumerate(self.synced):
            written = {one: self.copy(number, one) for one in "dw"}
            during = {one: mixed(on_disk[one], written[one], chance) for one in "dw"}
            yield Image(f"{number} during", during["d"], during["w"], number)
            on_disk[which] = written[which]
            yield Image(f"{number} synced", on_disk["d"], on_disk["w"], number + 1)
            yield Image(f"{number} written", written["d"], written["w"], number + 1)

    def promised(self, before: int) -> tuple[set[str], set[str], set[str]]:
        """Return whose receipt was given, which had arrived, and what was heard until then."""
        found = [{n for what, n, at in self.said if what == one and at <= before} for one in SAID]
        return found[0], found[1], found[2]


SAID = ("put", "arrived", "heard")


def mixed(old: bytes, new: bytes, chance: random.Random) -> bytes:
    """Return a file of which some sectors have been written, and some have not."""
    length = chance.choice((len(old), len(new), max(len(old), len(new))))
    sectors = range(0, length, SECTOR)
    return b"".join(
        [
            (new if chance.random() < 0.5 else old)[at : at + SECTOR].ljust(SECTOR, b"\0")
            for at in sectors
        ]
    )[:length]


def run(tmp_path: Path, mails: int) -> Run:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler, on Linux")
    library = tmp_path / "disk_images.so"
    source = ROOT / "tests" / "servers" / "disk_faults.c"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, timeout=50)
    images = tmp_path / "images"
    images.mkdir()
    told: dict[str, Any] = {"library": str(library), "folder": str(tmp_path), "mails": mails}
    program = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tests" / "servers" / "disk_images.py"),
            json.dumps(told | {"images": str(images)}),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    assert program.returncode == 0, program.stderr[-3000:]
    said = [tuple(json.loads(line)) for line in program.stdout.splitlines()]
    names = sorted({path.name[:8] for path in images.iterdir()})
    return Run(said, [name[7] for name in names], images)


def judge(image: Image, made: Run, folder: Path) -> None:
    """Open an image as the next start does, and look for all that was promised."""
    folder.mkdir()
    path = folder / "mail.db"
    path.write_bytes(image.db)
    if image.wal:
        path.with_name("mail.db-wal").write_bytes(image.wal)
    store = SqliteStore(path, "shop")
    found = {one.id: one for one in store.find(limit=10_000)}
    bodies = {
        row.id for row in (store.get(seq) for seq in range(1, len(found) + 1)) if row and row.body
    }
    store.close()
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], image.name
    database.close()
    put, arrived, heard = made.promised(image.before)
    assert put <= set(found), image.name
    for name in put - arrived:
        assert name in bodies, image.name
    for name in arrived:
        assert found[name].state in SENT, (image.name, found[name])
    for name in heard:
        assert found[name].state in {"told", "heard"}, (image.name, found[name])
        assert found[name].is_sent, image.name
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("mails", "share"),
    [(9, 4), pytest.param(120, times(4, thoroughly=1), marks=pytest.mark.long)],
    ids=["few", "many"],
)
@pytest.mark.timeout(600)
def test_whenever_the_power_goes_all_that_was_promised_is_on_the_disk(
    tmp_path: Path, mails: int, share: int
) -> None:
    made = run(tmp_path, mails)

    count = 0
    for image in list(made.images(CHANCE))[::share]:
        judge(image, made, tmp_path / "image")
        count += 1

    assert count > 3
    put, arrived, heard = made.promised(len(made.synced))
    assert len(put) == len(arrived) == len(heard) == mails


def test_a_file_that_forgets_its_log_does_not_pass(tmp_path: Path) -> None:
    made = run(tmp_path, 6)
    last = list(made.images(CHANCE))[-1]
    without = Image("without its log", made.copy(0, "d"), b"", last.before)

    with pytest.raises(AssertionError, match="without its log"):
        judge(without, made, tmp_path / "image")
