"""The commands ``dkim-key`` and ``dkim-check``. Never a name look-up."""
