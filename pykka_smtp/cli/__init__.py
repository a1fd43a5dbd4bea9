"""The command ``pykka-smtp``. Never anything that a program imports."""
