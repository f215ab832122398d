"""pgvector: vectors in PostgreSQL. `pip install 'ragtune[pgvector]'`, and the database in PGVECTOR_DSN."""

from __future__ import annotations

import atexit
import contextlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql

from bench.core.blocks import Retrieval
from bench.core.files import read_json, write_json
from systems.parts.embed import Vectors
from systems.parts.index import PARTS, Index, Live, Ranked, Size, address
from systems.parts.server_size import processes_bytes

EFFORT = "ef_search"
FILE = "table.json"  # the name of what stands in the database
ADDRESS = "PGVECTOR_DSN"
_open: dict[str, psycopg.Connection[Any]] = {}  # one a database
MOST = 1000  # `hnsw.ef_search` of pgvector goes no higher


@dataclass(frozen=True)
class Table:
    """An opened table, whose graph is searched with `ef_search`."""

    connection: psycopg.Connection[Any]
    name: str

    def search(self, queries: Vectors, k: int) -> Ranked:
        """The best `k` chunks of each query, best first."""
        return _ranked(self.connection, sql.Identifier(self.name), queries, k)


def _ranked(connection: psycopg.Connection[Any], rows: sql.Composable, queries: Vectors, k: int) -> Ranked:
    """The best of each query among some rows. They are ordered by the distance alone, for by more than that the
    database would order all rows and use no graph."""
    text = sql.SQL("SELECT number, -(vector <#> %s) FROM {} ORDER BY vector <#> %s LIMIT %s").format(rows)
    found = ([(int(n), float(score)) for n, score in connection.execute(text, (q, q, k))] for q in queries)
    return [sorted(row, key=lambda pair: (-pair[1], pair[0])) for row in found]


@dataclass
class LiveTable:
    """A table that rows are deleted from and copied into."""

    connection: psycopg.Connection[Any]
    name: str
    vectors: Vectors

    def reach(self, effort: int) -> None:
        """The `ef_search` of the next searches."""
        self.connection.execute(sql.SQL("SET hnsw.ef_search = {}").format(sql.Literal(min(MOST, effort))))

    def search(self, queries: Vectors, k: int, part: int | None = None) -> Ranked:
        """The best of each query; with a filter, from pgvector 0.8 on, the graph is searched until there are
        enough."""
        if part is None:
            return Table(self.connection, self.name).search(queries, k)
        with contextlib.suppress(psycopg.errors.InvalidName, psycopg.errors.UndefinedObject):  # an older one
            self.connection.execute("SET hnsw.iterative_scan = strict_order")
        among = sql.SQL("{} WHERE number %% {} = {}")
        rows = among.format(sql.Identifier(self.name), sql.Literal(PARTS), sql.Literal(part))
        return _ranked(self.connection, rows, queries, k)

    def replace(self, numbers: Sequence[int]) -> None:
        """Delete, copy, and let the database clear away what was deleted."""
        gone = sql.SQL("DELETE FROM {} WHERE number = ANY(%s)").format(sql.Identifier(self.name))
        self.connection.execute(gone, (list(numbers),))
        _copy(self.connection, self.name, self.vectors, numbers)
        self.connection.execute(sql.SQL("VACUUM {}").format(sql.Identifier(self.name)))

    def size(self) -> Size:
        """Table and graph on disk; the resident memory of the database's processes, where they are on this machine."""
        asked = self.connection.execute(
            "SELECT pg_total_relation_size(to_regclass(%s)), pg_backend_pid()", (self.name,)
        )
        disk, pid = next(iter(asked))
        return Size(int(disk), processes_bytes(int(pid), "postgres"))

    def close(self) -> None:
        """Drop the table."""
        self.connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(self.name)))


def live(vectors: Vectors, retrieval: Retrieval, folder: Path) -> Live:
    """A table of its own."""
    connection, name = _connected(), f"ragtune_{uuid.uuid4().hex[:16]}"
    _fill(connection, name, vectors, retrieval)
    return LiveTable(connection, name, vectors)


def build(vectors: Vectors, retrieval: Retrieval, folder: Path) -> None:
    """Copy the vectors into a new table with an HNSW graph, and keep its name."""
    name = f"ragtune_{uuid.uuid4().hex[:16]}"
    _fill(_connected(), name, vectors, retrieval)
    write_json(folder / FILE, {"table": name})


def open_folder(folder: Path, vectors: Vectors, retrieval: Retrieval) -> Index:
    """The table whose name is kept; filled again where the database has lost it."""
    connection, name = _connected(), str(read_json(folder / FILE)["table"])
    if connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,):
        _fill(connection, name, vectors, retrieval)
    wide = min(MOST, max(retrieval.hnsw.ef_search, retrieval.k))
    connection.execute(sql.SQL("SET hnsw.ef_search = {}").format(sql.Literal(wide)))
    return Table(connection, name)


def recipe(retrieval: Retrieval) -> Mapping[str, Any]:
    """The shape of the graph. The database is known by its host and name, without what could be a secret."""
    known = psycopg.conninfo.conninfo_to_dict(address(ADDRESS))
    at = {key: str(known.get(key)) for key in ("host", "port", "dbname")}
    return {"at": at, "m": retrieval.hnsw.m, "ef_construction": retrieval.hnsw.ef_construction}


def _connected() -> psycopg.Connection[Any]:
    at = address(ADDRESS)
    if at not in _open:
        _open[at] = psycopg.connect(at, autocommit=True)
        _open[at].execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(_open[at])
    return _open[at]


@atexit.register
def close() -> None:
    """End every connection."""
    while _open:
        _open.popitem()[1].close()


def _fill(connection: psycopg.Connection[Any], name: str, vectors: Vectors, retrieval: Retrieval) -> None:
    table = sql.Identifier(name)
    connection.execute(
        sql.SQL("CREATE TABLE {} (number int PRIMARY KEY, vector vector({}))").format(
            table, sql.Literal(vectors.shape[1])
        )
    )
    _copy(connection, name, vectors, range(len(vectors)))
    hnsw = sql.SQL("CREATE INDEX ON {} USING hnsw (vector vector_ip_ops) WITH (m = {}, ef_construction = {})")
    connection.execute(hnsw.format(table, sql.Literal(retrieval.hnsw.m), sql.Literal(retrieval.hnsw.ef_construction)))
    connection.execute(sql.SQL("ANALYZE {}").format(table))  # or it knows nothing of the rows, and may read them all


def _copy(connection: psycopg.Connection[Any], name: str, vectors: Vectors, numbers: Sequence[int]) -> None:
    """Copy the vectors of these numbers into a table."""
    rows = sql.SQL("COPY {} (number, vector) FROM STDIN WITH (FORMAT BINARY)").format(sql.Identifier(name))
    with connection.cursor() as cursor, cursor.copy(rows) as copy:
        copy.set_types(["int4", "vector"])
        for number in numbers:
            copy.write_row((number, vectors[number]))
