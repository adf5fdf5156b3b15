"""Workers and contacts as columns, every row checked. Names and phones: handle with care."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.rows import Columns
from connectors.table_file import TableFile

WORKERS = Columns("workers", ("worker_id", "name", "grids"), ("phone", "role", "shift", "stand_in"))
CONTACTS = Columns("contacts", ("subject_id", "order", "relation", "phone"), ("consent",))
_YES = ("true", "yes", "y", "1", "是")
_NO = ("", "false", "no", "n", "0", "否")


@dataclass(frozen=True, slots=True)
class WorkersTable:
    """Workers as columns, in file order.

    Parameters
    ----------
    worker_id, person, phone, role, shift : pyarrow.StringArray
        `person` is the file's ``name``.
    grids : pyarrow.ListArray of string
        Place codes that the worker is in charge of.
    stand_in : pyarrow.StringArray
        worker_id of the one who takes over (empty: nobody).
    """

    name: str
    worker_id: pa.StringArray
    person: pa.StringArray
    grids: pa.ListArray
    phone: pa.StringArray
    role: pa.StringArray
    shift: pa.StringArray
    stand_in: pa.StringArray

    def __len__(self) -> int:
        return len(self.worker_id)


@dataclass(frozen=True, slots=True)
class ContactsTable:
    """Whom to call for a subject, as columns, in file order.

    Parameters
    ----------
    order : ndarray of int32
        1 is called first.
    consent : ndarray of bool
        Whether the person agreed to be called; False where the file does not say.
    """

    name: str
    subject_id: pa.StringArray
    order: NDArray[np.int32]
    relation: pa.StringArray
    phone: pa.StringArray
    consent: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.subject_id)


def read_workers(path: str) -> WorkersTable:
    """Read a workers file (CSV, xlsx, Parquet, NDJSON or Arrow IPC).

    `grids` is a list of place codes, separated by ``;``, comma or blank, or a JSON list.

    Raises
    ------
    InputError
        If the file cannot be used.
    TableError
        All problems of its rows at once.
    """
    table = TableFile.load(path, WORKERS)
    worker_id = table.unique("worker_id")
    person = table.text("name", required=True)
    grids = [_codes(text) for text in table.columns["grids"].to_pylist()]
    for row, codes in enumerate(grids):
        if wrong := [c for c in codes if not (c.isascii() and c.isdigit())]:
            table.note(row + 1, "grids has what is no place code", got=wrong[0], wanted="digits")
    stand_in = table.text("stand_in")
    known = pc.is_in(stand_in, pc.unique(worker_id)).to_numpy(zero_copy_only=False)
    strangers = ~known & pc.not_equal(stand_in, "").to_numpy(zero_copy_only=False)
    table.note_all(strangers, "stand_in", "is not a worker of this file", "a worker_id")
    own = pc.and_(pc.equal(stand_in, worker_id), pc.not_equal(stand_in, ""))
    table.note_all(own.to_numpy(zero_copy_only=False), "stand_in", "is the worker", "somebody else")
    table.done()
    return WorkersTable(
        table.name, worker_id, person, pa.array(grids, pa.list_(pa.string())),
        table.text("phone"), table.text("role"), table.text("shift"), stand_in,
    )  # fmt: skip


def read_contacts(path: str) -> ContactsTable:
    """Read a contacts file (CSV, xlsx, Parquet, NDJSON or Arrow IPC).

    Raises
    ------
    InputError
        If the file cannot be used.
    TableError
        All problems of its rows at once.
    """
    table = TableFile.load(path, CONTACTS)
    subject_id = table.unique("subject_id", "order")
    order = table.number(
        "order", "a whole number, 1 or more", lambda x: (x >= 1) & (x < 1000) & (x == np.floor(x))
    )
    phone = table.text("phone", required=True)
    words = pc.utf8_lower(table.columns["consent"])
    yes = pc.is_in(words, pa.array(_YES)).to_numpy(zero_copy_only=False)
    no = pc.is_in(words, pa.array(_NO)).to_numpy(zero_copy_only=False)
    table.note_all(~(yes | no), "consent", "is not valid", "true or false")
    table.done()
    return ContactsTable(
        table.name, subject_id, order.astype(np.int32), table.text("relation"), phone, yes
    )


def _codes(text: str) -> list[str]:
    if text.startswith("["):
        try:
            return [str(c) for c in json.loads(text)]
        except ValueError:
            return [text]
    for mark in ";,，；、":
        text = text.replace(mark, " ")
    return text.split()
