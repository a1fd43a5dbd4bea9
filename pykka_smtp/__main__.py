"""The command line: ``python -m pykka_smtp``, or ``pykka-smtp``."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
