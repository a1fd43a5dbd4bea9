"""Runs Django's own tests of its SMTP backend, against ours. A program of its own.

Run it as ``python djangos_own.py FOLDER``, with the folder ``tests`` of Django's sources. It prints
a JSON object: for each test ``ok``, or the last line of what was wrong.
"""

import importlib
import json
import sys
import types
import unittest
import warnings
from typing import Any

from django.conf import settings

FOLDER = sys.argv[1]
sys.path.insert(0, FOLDER)
settings.configure(
    SECRET_KEY="not secret",
    USE_I18N=False,
    EMAIL_SUBJECT_PREFIX="[Django] ",
    DATABASES={},
)
# Deprecations are Django's business here; its tests look for some of them, and set filters.
warnings.simplefilter("default")

import django  # noqa: E402

django.setup()

from pykka_smtp import django as ours  # noqa: E402

try:  # from Django 6.1 on the tests of the backends are a file of their own
    module = importlib.import_module("mail.test_backends")
except ModuleNotFoundError:
    module = importlib.import_module("mail.tests")


class EmailBackend(ours.EmailBackend):
    """Ours, with one connection: the tests count on the order of messages."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, max_connections=1, **options)


# What the tests name `smtp.EmailBackend` is ours.
module.smtp = types.SimpleNamespace(EmailBackend=EmailBackend)  # type: ignore[attr-defined]


class Ours(module.SMTPBackendTests):  # type: ignore[misc,name-defined]
    """Those with a server."""

    email_backend = "__main__.EmailBackend"
    backend_class = EmailBackend


class OursStopped(module.SMTPBackendStoppedServerTests):  # type: ignore[misc,name-defined]
    """Those with a server that has gone."""


class Results(unittest.TestResult):
    """Notes how each test ended."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def _note(self, test: unittest.TestCase, word: str) -> None:
        name = test.id().rsplit(".", 1)[1]
        if self.found.get(name, "ok") == "ok":
            self.found[name] = word

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self._note(test, "ok")

    def _wrong(self, test: unittest.TestCase, error: object) -> None:
        lines = self._exc_info_to_string(error, test).strip().splitlines()  # type: ignore[attr-defined]
        self._note(test, lines[-1])

    def addError(self, test: unittest.TestCase, err: object) -> None:  # noqa: N802
        self._wrong(test, err)

    addFailure = addError  # noqa: N815

    def addSubTest(self, test: unittest.TestCase, subtest: object, err: object) -> None:  # noqa: N802
        if err is not None:
            self._wrong(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self._note(test, f"skipped: {reason}")


if __name__ == "__main__":
    results = Results()
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    unittest.TestSuite([load(Ours), load(OursStopped)]).run(results)
    ours.stop_mailers(10)
    sys.stdout.write(json.dumps(results.found))
