"""The command line: ``python -m pykka_smtp``, or ``pykka-smtp``."""

import sys

from .cli.main import main, sendmail

__all__ = ["main", "sendmail"]

if __name__ == "__main__":
    sys.exit(main())
