"""Where ``sendmail`` finds its relay, and who may know the password."""

import os
import pwd
import socket
from pathlib import Path

import pytest
from servers.scripted import ScriptedServer
from servers.sending import url_of
from servers.submitting import Submitter

from pykka_smtp.cli.sendmail import settings

URL = "smtp://me:hunter2@mail.example.org"


@pytest.fixture(autouse=True)
def no_system_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the file of the whole system elsewhere, as this one may have one."""
    file = tmp_path / "etc" / "pykka-smtp.toml"
    file.parent.mkdir()
    monkeypatch.setattr(settings, "SYSTEM_FILE", str(file))
    return file


def test_the_file_of_the_user_counts_before_that_of_the_system(
    submit: Submitter, no_system_file: Path
) -> None:
    no_system_file.write_text('url = "smtp://system.test"\ndomain = "system.test"')
    assert settings.read_settings().domain == "system.test"

    submit.configure(more='url = "smtp://user.test"')

    found = settings.read_settings()
    assert (found.domain, [url.reveal() for url in found.urls]) == (
        "here.test",
        ["smtp://user.test"],
    )


def test_the_environment_replaces_the_relay_and_its_backups_and_nothing_else(
    submit: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit.configure(more='url = "smtp://a.test"\nbackups = ["smtp://b.test", "smtp://c.test"]\n')
    assert len(settings.read_settings().urls) == 3

    monkeypatch.setenv("SMTP_URL", "smtp://d.test")
    monkeypatch.setenv("SMTP_BACKUP_URLS", "smtp://e.test")

    found = settings.read_settings()
    assert [url.reveal() for url in found.urls] == ["smtp://d.test", "smtp://e.test"]
    assert found.domain == "here.test"


def test_the_folder_of_settings_may_be_elsewhere(
    submit: Submitter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pykka-smtp.toml").write_text('url = "smtp://elsewhere.test"')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    assert settings.read_settings().urls[0].reveal() == "smtp://elsewhere.test"


def test_a_file_can_be_named_and_then_nothing_else_counts(
    submit: Submitter, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit.configure(more='url = "smtp://usual.invalid"')
    monkeypatch.setenv("SMTP_URL", "smtp://environment.invalid")
    file = tmp_path / "named.toml"
    file.write_text(f'url = "{url_of(server)}"')

    assert submit("-C", str(file), "you@x.test") == 0
    assert server.accepted == 1

    file.write_text("")
    assert submit("-C", str(file), "you@x.test") == 78
    assert "needs a relay URL" in submit.err
    file.unlink()
    assert submit("-C", str(file), "you@x.test") == 78
    assert f"cannot read {file}: No such file or directory" in submit.err


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o602])
@pytest.mark.parametrize("where", [f'url = "{URL}"', f'url = "smtp://x.test"\nbackups = ["{URL}"]'])
def test_a_password_that_others_can_read_is_refused(
    submit: Submitter, mode: int, where: str
) -> None:
    submit.configure(more=where)
    submit.file.chmod(mode)

    assert submit("you@x.test") == 77
    assert submit.err.count("\n") == 1
    assert f"chmod {'go-w' if mode & 0o022 else '600'} {submit.file}" in submit.err
    assert "hunter2" not in submit.err


def test_without_a_password_others_may_read_and_nobody_else_may_write(
    submit: Submitter, server: ScriptedServer
) -> None:
    submit.configure(server)
    submit.file.chmod(0o644)
    assert submit("you@x.test") == 0

    submit.file.chmod(0o664)
    assert submit("you@x.test") == 77
    assert "can be changed by others: chmod go-w" in submit.err


def test_the_file_of_another_user_is_not_followed(
    submit: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit.configure(more='url = "smtp://x.test"')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(submit.file.parent))
    if os.getuid() == 0:  # what is root's may be used by all
        os.chown(submit.file, 4711, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 4712)

    assert submit("you@x.test") == 77
    assert "belongs to another user" in submit.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "needs a relay URL: in SMTP_URL, or as url in "),
        ('url = ""', "url needs a text in quotes"),
        ("url = 25", "url needs a text in quotes"),
        ("url", " is not TOML: "),
        ('url = "ftp://x"', "url: relay URL: unknown scheme"),
        (f'url = "{URL}:port"', "url: relay URL 'smtp://me:***@mail.example.org...': "),
        ('url = "sendmail:///usr/sbin/sendmail"', "url: is a sendmail, which may be this one"),
        ('url = "smtp://x.test"\nbackups = ["lmtp://x.test:25"]', "backups: relay URL "),
        ('url = "smtp://x.test"\nsmart_host = "y"', "unknown setting 'smart_host'; known are url"),
        ('url = "smtp://x.test"\ndomain = "a b"', "domain: invalid EHLO name 'a b'"),
        ('url = "smtp://x.test"\nsender = "me"', "sender: invalid address 'me'"),
        ('url = "smtp://x.test"\naliases = "me"', "aliases needs a table"),
        ('url = "smtp://x.test"\n[aliases]\nroot = "me"', "aliases: root: invalid address 'me'"),
        ('url = "smtp://x.test"\n[aliases]\nroot = [3]', "root needs a text in quotes"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said_in_a_line(
    submit: Submitter, text: str, complaint: str
) -> None:
    submit.file.write_text(text)
    submit.file.chmod(0o600)

    assert submit("you@x.test") == 78
    assert complaint in submit.err
    assert submit.err.count("\n") == 1
    assert "hunter2" not in submit.err


def test_settings_that_are_no_text_are_refused(submit: Submitter) -> None:
    submit.file.write_bytes(b'url = "\xff"')
    submit.file.chmod(0o600)
    assert submit("you@x.test") == 78
    assert "is not TOML: not UTF-8" in submit.err

    submit.file.write_bytes(b"#" * (1024 * 1024 + 1))
    assert submit("you@x.test") == 78
    assert "is longer than 1048576 octets" in submit.err


def test_settings_that_cannot_be_read_are_needed_only_without_a_relay_in_the_environment(
    submit: Submitter, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forbidden(type(submit.file)):  # type: ignore[misc]
        def open(self, *_args: object, **_options: object) -> object:
            raise PermissionError(13, "Permission denied")

    # As of a file that is root's alone; root itself, who may run this test, can read any.
    monkeypatch.setattr(settings, "_paths", lambda: [Forbidden(submit.file)])
    assert submit("you@x.test") == 78
    assert f"cannot read {submit.file}: Permission denied" in submit.err

    monkeypatch.setenv("SMTP_URL", url_of(server))
    assert submit("you@x.test") == 0


def test_a_folder_in_place_of_the_settings_is_named(submit: Submitter) -> None:
    submit.file.mkdir()

    assert submit("you@x.test") == 78
    assert f"cannot read {submit.file}: Is a directory" in submit.err


def test_a_home_that_is_another_users_is_not_looked_into(
    submit: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under cron, which leaves its own HOME to the programs of all users."""
    submit.configure(more='url = "smtp://x.test"')
    monkeypatch.setenv("HOME", "/dev/null/nobody")
    person = pwd.getpwuid(os.getuid())
    mine = pwd.struct_passwd((*person[:5], str(submit.home), person[6]))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: mine)

    assert settings.read_settings().domain == "here.test"


def test_a_sendmail_in_the_environment_is_the_way_to_here_and_not_from_here(
    submit: Submitter, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit.configure(server)
    for name in ("SMTP_URL", "PYKKA_SMTP_URL_ALL"):
        monkeypatch.setenv(name, "sendmail:///usr/sbin/sendmail")

    assert submit("you@x.test") == 0
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("host", "full", "expected"),
    [
        ("vm.example.org", "unasked", "vm.example.org"),
        ("vm", "vm.example.org", "vm.example.org"),
        ("vm", "localhost", "vm"),
        ("my_vm", "my_vm", "localhost"),
    ],
)
def test_the_domain_of_this_machine_is_its_name(
    monkeypatch: pytest.MonkeyPatch, host: str, full: str, expected: str
) -> None:
    if Path("/etc/mailname").exists():
        pytest.skip("this machine has a mail name")
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    monkeypatch.setattr(socket, "getfqdn", lambda _name: full)

    assert settings.own_domain() == expected
