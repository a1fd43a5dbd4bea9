"""Exit statuses as BSD's sysexits.h has them: mail programs have spoken these for decades."""

EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_NOINPUT = 66
EX_NOHOST = 68
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_OSERR = 71
EX_CANTCREAT = 73
EX_IOERR = 74
EX_TEMPFAIL = 75
EX_PROTOCOL = 76
EX_NOPERM = 77

SIGNALLED = 128
"""A shell adds to this the number of the signal that ended a program: 130 for Ctrl-C."""
