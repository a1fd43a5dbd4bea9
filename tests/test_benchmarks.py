"""The benchmarks run; what they measure is for a quiet machine to say, not for a test."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from servers.require import require

ROOT = Path(__file__).parents[1]
NAMES = (
    *("throughput", "composed", "in_flight", "faults", "import", "big_file"),
    *("compose", "round_trips"),
)


def command(*arguments: str) -> list[str]:
    # Not nodemailer: a test must not install anything.
    small = ("--quick", "--mails", "10", "--without", "nodemailer")
    return [sys.executable, "-m", "benchmarks", *small, *arguments]


def measure(*arguments: str, out: Path) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        command("--out", str(out), *arguments),
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return results, done.stdout


def test_a_quick_run_measures_everything_and_judges_every_target(tmp_path: Path) -> None:
    require("smtp-sink")
    others = ("smtp", "aio", "asyncio", "bare", "MIME", "pykka-smtp, stdlib")
    left_out = [word for name in others for word in ("--without", name)]

    whole, printed = measure(*left_out, out=tmp_path)

    results = {result["name"]: result for result in whole["results"]}
    assert tuple(results) == NAMES
    for result in results.values():
        assert any("pykka" in row["name"] or "SendMail" in row["name"] for row in result["rows"])
        assert result["title"] in printed
        assert result["targets"] or result["name"] == "composed"
        assert all(target["text"] in printed for target in result["targets"])
    # The figures that no busy machine can excuse.
    for name in ("in_flight", "faults"):
        lost = "sends with no outcome, or two"
        assert [t["value"] for t in results[name]["targets"] if t["text"] == lost] == [0]


def test_a_competitor_is_left_out_on_request(tmp_path: Path) -> None:
    whole, printed = measure(
        "--only", "compose", "--without", "Email", "--without", "Send", out=tmp_path
    )

    assert "EmailMessage" not in printed
    assert "MIMEText" in printed
    assert "EmailMessage" not in json.dumps(whole["results"][0]["rows"])


def test_a_benchmark_that_does_not_exist_is_refused() -> None:
    done = subprocess.run(
        command("--only", "speed"), cwd=ROOT, check=False, capture_output=True, timeout=50
    )

    assert done.returncode == 2
    assert b"invalid choice: 'speed'" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_its_children_soon(number: signal.Signals, tmp_path: Path) -> None:
    few = ("--without", "Email", "--without", "MIME")
    with subprocess.Popen(
        command("--only", "compose", "--only", "faults", *few, "--out", str(tmp_path)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while "faults:" not in process.stderr.readline():
            assert process.poll() is None
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, number)
        _, complaints = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "Traceback" not in complaints
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    # What was measured before is not lost.
    assert json.loads((tmp_path / "results.json").read_text())["results"][0]["name"] == "compose"
