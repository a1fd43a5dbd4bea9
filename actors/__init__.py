"""The actors: the event loop, connections, and the actor that sends one mail."""

if __name__ == "actors":
    raise ImportError("import pykka_smtp.actors, not the bare folder name")
