"""Django's own tests of its SMTP backend, run against ours.

They are in Django's sdist only, of which nothing is copied here: in CI pip fetches it, elsewhere
the environment variable DJANGO_SOURCE names a folder with Django's sources.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from servers.python import python
from servers.require import VARIABLE, missing

from with_django.rig import DJANGO, HAS_MAILERS, ROOT

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

NO_CONNECTION = "It looks at the connection of `smtplib`, which a backend of ours does not have."
OPENS_NOTHING = "It expects `open()` to connect, or to log in; ours leaves that to the Mailer."
NO_DOMAIN = "An address without a domain is not valid in SMTP, and is refused."

NOT_OURS = {
    "test_auth_attempted": OPENS_NOTHING,
    "test_connection_timeout_custom": NO_CONNECTION,
    "test_email_ssl_attempts_ssl_connection": OPENS_NOTHING,
    "test_email_tls_attempts_starttls": OPENS_NOTHING,
    "test_fail_silently_on_connection_error": OPENS_NOTHING,
    "test_reopen_replaces_partial_connection": OPENS_NOTHING,
    "test_send_messages_after_open_failed": OPENS_NOTHING,
    "test_server_open": NO_CONNECTION,
} | (
    {
        "test_direct_construction_deprecated": "Django deprecates it; here it is not.",
        "test_prep_address_without_force_ascii": "It calls a method of Django's backend.",
        "test_rejects_non_ascii_local_part": "Our error shows the address in ASCII.",
        "test_serialized_message_uses_crlf_line_ending": NO_CONNECTION,
        "test_smtp_connection_uses_host_and_port": NO_CONNECTION,
        "test_smtp_connection_uses_timeout": NO_CONNECTION,
        "test_ssl_context_uses_ssl_certfile_and_keyfile": NO_CONNECTION,
    }
    if HAS_MAILERS
    else {
        "test_email_msg_uses_crlf": NO_CONNECTION,
        "test_lazy_addresses": NO_DOMAIN,
        "test_recipient_without_domain": NO_DOMAIN,
    }
)
"""The tests that do not apply, and why. docs/django.md has the same list, for all versions."""


@pytest.fixture(scope="module")
def sources(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder ``tests`` of the sources of the Django that is installed."""
    import django

    given = os.environ.get("DJANGO_SOURCE")
    if given:
        return Path(given) / "tests"
    if os.environ.get(VARIABLE) != "1":
        pytest.skip("fetched in CI only; or name a folder with Django's sources in DJANGO_SOURCE")
    version = django.__version__
    assert request.config.cache is not None
    kept = request.config.cache.mkdir(f"django-{version}")
    if not any(kept.glob("*.tar.gz")):
        fetch(version, kept)
    target = tmp_path_factory.mktemp("django")
    [archive] = kept.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(target, filter="data")
    return next(target.iterdir()) / "tests"


def fetch(version: str, folder: Path) -> None:
    """Have pip download an sdist."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "-q", "--no-binary", ":all:", "--no-deps"),
            *("--no-build-isolation", "-d", str(folder), f"django=={version}"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    if done.returncode:
        missing(f"the sdist of Django {version} cannot be had: {done.stderr[-300:]}")


@pytest.fixture(scope="module")
def found(sources: Path) -> dict[str, str]:
    """Run them; give how each ended."""
    done = python(Path(__file__).with_name("djangos_own.py"), sources, timeout=200)
    assert done.stdout, done.stderr
    results: dict[str, str] = json.loads(done.stdout)
    return results


def test_the_backend_passes_all_of_djangos_tests_that_apply(found: dict[str, str]) -> None:
    wrong = {name: word for name, word in found.items() if word != "ok" and name not in NOT_OURS}

    assert wrong == {}
    assert len(found) - len(NOT_OURS) >= 40


def test_each_test_that_is_left_out_does_not_apply(found: dict[str, str]) -> None:
    assert [name for name in NOT_OURS if found.get(name, "ok") == "ok"] == []


def test_the_page_lists_those_that_do_not_apply() -> None:
    page = (ROOT / "docs" / "django.md").read_text()
    listed = dict(re.findall(r"^\| `(test_\w+)` \| (.*) \|$", page, re.MULTILINE))

    assert {name: listed.get(name) for name in NOT_OURS} == NOT_OURS, DJANGO
