"""The bus: what became of a mail, and the named signals that say so."""

if __name__ == "signals":
    raise ImportError("import pykka_smtp.signals, not the bare folder name")
