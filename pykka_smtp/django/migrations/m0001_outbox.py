"""Make the tables of an outbox. They stay if it is undone: emails may wait in them."""

import importlib
from typing import Any

from ...actors.outbox.handover import outbox_schema

migrations: Any = importlib.import_module("django.db.migrations")  # it has no types


def make_tables(_apps: Any, schema_editor: Any) -> None:
    """Make the tables where the database is SQLite."""
    if schema_editor.connection.vendor == "sqlite":
        for statement in outbox_schema().split(";\n"):
            if statement:
                schema_editor.execute(statement)


_operations = (migrations.RunPython(make_tables, migrations.RunPython.noop),)
Migration: Any = type(
    "Migration",
    (migrations.Migration,),
    {"initial": True, "dependencies": (), "operations": _operations, "__module__": __name__},
)
"""The first."""
