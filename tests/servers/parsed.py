"""Mails as files, and the policies by which the `email` package parses them."""

import email.policy
from pathlib import Path

import pytest

MAILS = sorted(
    (Path(__file__).parents[1] / "smtp" / "mail" / "mails").glob("*.eml"),
    key=lambda path: path.name,
)
POLICIES = {
    "compat32": email.policy.compat32,
    "default": email.policy.default,
    "SMTP": email.policy.SMTP,
    "SMTPUTF8": email.policy.SMTPUTF8,
}
mails = pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
policies = pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))


def mails_but(*names: str) -> pytest.MarkDecorator:
    """Have a test for each mail except these."""
    paths = [path for path in MAILS if path.name not in names]
    assert len(paths) == len(MAILS) - len(names)
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)
