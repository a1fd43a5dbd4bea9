"""Running a program to its end."""

import os
import subprocess
import sys
from typing import Any

IN_TIME = 50.0
"""Seconds; reached only by a test that fails."""


def run_to_its_end(
    *command: object, env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command, and give what it printed.

    Args:
        command: its words.
        env: more of the environment.
        options: those of `subprocess.run`.
    """
    usual: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "check": False,
        "timeout": IN_TIME,
        "env": os.environ | (env or {}),
    }
    done: subprocess.CompletedProcess[str]
    done = subprocess.run([str(word) for word in command], **(usual | options))  # noqa: PLW1510
    return done


def python(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python; see `run_to_its_end`."""
    return run_to_its_end(sys.executable, *arguments, **options)


def printed(*arguments: object, **options: Any) -> str:
    """Run Python, see that it succeeds without a word of complaint, and give what it printed."""
    done = python(*arguments, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
