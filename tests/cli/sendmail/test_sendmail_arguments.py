"""The options of ``sendmail``, as programs write them."""

import pytest

from pykka_smtp import Dsn
from pykka_smtp.cli.sendmail.arguments import Arguments, UsageError, read_arguments


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # cron of Debian, and that of others
        ("-FCronDaemon -i -B8BITMIME -oem root", {"full_name": "CronDaemon", "is_dot_text": True}),
        (
            "-FCronDaemon -i -odi -oem -oi -t -f root",
            {
                "full_name": "CronDaemon",
                "is_dot_text": True,
                "from_header": True,
                "sender": "root",
                "recipients": (),
            },
        ),
        ("-i root", {"is_dot_text": True}),  # mail
        ("-t -i", {"from_header": True, "is_dot_text": True, "recipients": ()}),  # PHP
        ("-ti", {"from_header": True, "is_dot_text": True, "recipients": ()}),
        ("-oem -oi root", {"is_dot_text": True}),  # mutt
        ("-i -fme@x.test -- root", {"is_dot_text": True, "sender": "me@x.test"}),
        ("-r me@x.test root", {"sender": "me@x.test"}),
        ("-Am -U -G -n -m -h 5 -L x -O a=b -X log -o7 -x -c root", {}),
        ("-bm -e m -p SMTP:here -d0 -D log root", {}),
        ("-v root", {"verbose": True}),
        ("-- root", {}),
    ],
)
def test_options_mean_what_programs_mean_by_them(line: str, expected: dict[str, object]) -> None:
    assert read_arguments(line.split()) == Arguments(**({"recipients": ("root",)} | expected))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "mode"),
    [
        ("-bp", "queue"),
        ("-bi", "aliases"),
        ("-I", "aliases"),
        ("-q", "nothing"),
        ("-q30m", "nothing"),
        ("-bh", "nothing"),
        ("-bH", "nothing"),
        ("--help", "help"),
        ("--version", "version"),
    ],
)
def test_what_sends_no_email_is_told_apart(line: str, mode: str) -> None:
    assert read_arguments(line.split()).mode == mode


def test_the_names_of_other_programs_that_sendmail_is_are_known() -> None:
    assert read_arguments([], "mailq").mode == "queue"
    assert read_arguments([], "newaliases").mode == "aliases"
    assert read_arguments([], "sendmail").mode == "send"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("-bs", "-bs: this sendmail speaks no SMTP on standard input"),
        ("-bd", "-bd: this sendmail is no mail server"),
        ("-bl", "-bl: this sendmail is no mail server"),
        ("-bv root", "-bv: this sendmail cannot check addresses without sending"),
        ("-bx", "-bx: unknown"),
        ("-z", "option -z not recognized"),
        ("-f", "option -f requires argument"),
        ("--delay", "option --delay not recognized"),
        ("-N sometimes root", "-N, -R or -V: notify: "),
        ("-R all root", "-N, -R or -V: ret: "),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(line: str, complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_arguments(line.split())

    assert str(raised.value).startswith(complaint)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-N never", Dsn(notify="never")),
        ("-N failure,Delay", Dsn(notify=("failure", "delay"))),
        ("-N success -R hdrs -V QQ314159", Dsn(notify="success", ret="hdrs", envid="QQ314159")),
    ],
)
def test_notifications_can_be_asked_for(line: str, expected: Dsn) -> None:
    assert read_arguments([*line.split(), "root"]).dsn == expected
