"""MySQL 8 and MariaDB 10.6 or later through PyMySQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from sqlalchemy import (
    bindparam,
    column,
    func,
    literal_column,
)
from sqlalchemy.engine import URL
from sqlalchemy.sql import FromClause
from sqlalchemy.types import Text

from qbeat.store.sql.dialect import Columns
from qbeat.store.sql.server_dialect import ServerDialect

_MIGRATION_LOCK: Final = "qbeat migration"


class Mysql(ServerDialect):
    """The database at an address like ``mysql://user:password@host/name``."""

    conflicts = frozenset({"1205", "1213", "1020"})
    passing: ClassVar = (
        "1040",
        "1053",
        "1129",
        "1158",
        "1159",
        "1160",
        "1161",
        "1203",
        "1205",
        "1213",
        "2",
        "3024",
    )
    lasting: ClassVar = ("1044", "1045", "1049", "1698", "2059", "2061")

    def __init__(self, address: URL, clock: Callable[[], int] | None) -> None:
        super().__init__(address.set(drivername=address.get_backend_name()), clock)
        self.engine = self.writer = self._make_engine(address)

    def batch(self, parameter: str, columns: Columns) -> FromClause:
        fields = _JsonColumns(columns)
        rows = func.json_table(
            bindparam(parameter, type_=Text()), literal_column("'$[*]'").op("COLUMNS")(fields)
        )
        typed = (column(name, kind) for name, kind in columns.items())
        return rows.table_valued(*typed, name=parameter)
