"""Personal data: one table, sealed; every look is written down before the answer is given.

AES-256-GCM (NIST SP 800-38D) with a fresh nonce for each value; owner and field are bound to the
ciphertext, so that a sealed value moved to another row does not open. The key comes from the
configuration, the environment or a key file, never from the database. A backup of the database
alone reveals nobody.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, select

from engine.store import schema as t
from engine.store.books import audit_row
from engine.store.database import Database, How, write
from engine.store.errors import StoreError

PERSONAL = ("name", "address", "phone", "note", "contacts")
"""Fields that are kept of a person."""
KEY_BYTES = 32
_NONCE_BYTES = 12


class VaultError(StoreError):
    """Personal data cannot be sealed or opened."""


class Vault:
    """Keys of the personal data; the first one seals, all of them open.

    Parameters
    ----------
    keys : sequence of bytes
        32 bytes each, the newest first; older ones stay while values sealed with them are left.
    """

    def __init__(self, *keys: bytes) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise VaultError(
                f"personal data key: wanted {KEY_BYTES} bytes in base64; make one with "
                'python -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"'
            )
        self._keys: Mapping[str, bytes] = {key_id(key): key for key in keys}
        self._first = key_id(keys[0])

    def __repr__(self) -> str:
        return f"Vault({len(self._keys)} keys, seals with {self._first})"

    @classmethod
    def of(cls, text: str) -> Vault:
        """Return a vault of base64 keys separated by commas, as configuration holds them.

        Raises
        ------
        VaultError
            If a key is not 32 bytes of base64. The message does not repeat it.
        """
        try:
            keys = [base64.b64decode(part, validate=True) for part in text.strip().split(",")]
        except binascii.Error:
            raise VaultError("personal data key: is not base64") from None
        return cls(*keys)

    @classmethod
    def at(cls, path: Path, *, create: bool = False) -> Vault:
        """Return a vault whose keys are in a file; with `create` make one where there is none.

        Raises
        ------
        VaultError
            If the file is missing, unreadable, or readable by others.
        """
        if create and not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        try:
            if path.stat().st_mode & 0o077:
                raise VaultError(f"key file {path}: others can read it; chmod 600 it")
            return cls.of(path.read_text())
        except OSError as error:
            raise VaultError(f"key file {path}: {error.strerror}") from None

    def seal(self, owner: str, field: str, value: Any) -> tuple[str, bytes]:
        """Return (id of the key, nonce and ciphertext) of a plain value."""
        return self.seal_bytes(owner, field, msgspec.json.encode(value))

    def seal_bytes(self, owner: str, field: str, data: bytes) -> tuple[str, bytes]:
        """Return (id of the key, nonce and ciphertext) of bytes."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self._keys[self._first]).encrypt(nonce, data, _bound(owner, field))
        return self._first, nonce + sealed

    def unseal(self, owner: str, field: str, key: str, sealed: bytes) -> Any:
        """Return the plain value.

        Raises
        ------
        VaultError
            If the key is not here, or the value was altered or moved.
        """
        return msgspec.json.decode(self.unseal_bytes(owner, field, key, sealed))

    def unseal_bytes(self, owner: str, field: str, key: str, sealed: bytes) -> bytes:
        """Return the plain bytes.

        Raises
        ------
        VaultError
            If the key is not here, or they were altered or moved.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if key not in self._keys:
            raise VaultError(
                f"personal data of {owner!r}: sealed with key {key}, which is not configured; "
                "add it after the present key"
            )
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self._keys[key]).decrypt(nonce, rest, _bound(owner, field))
        except InvalidTag:
            raise VaultError(
                f"personal data of {owner!r}, {field}: does not open; it was altered or moved. "
                "Restore it from a backup"
            ) from None


def key_id(key: bytes) -> str:
    """Return a name of a key that does not give it away."""
    return hashlib.sha256(b"gridwarden key\x1f" + key).hexdigest()[:12]


def _bound(owner: str, field: str) -> bytes:
    return f"{owner}\x1f{field}".encode()


class Look(NamedTuple):
    """Why somebody may see personal data; it goes into the audit log."""

    who: str
    at_ns: int
    why: str


class People:
    """The table of personal data.

    Parameters
    ----------
    database : Database
    vault : Vault or None
        None: nothing can be written or read.
    """

    def __init__(self, database: Database, vault: Vault | None) -> None:
        self._database = database
        self._vault = vault

    def vault(self) -> Vault:
        """Return the keys.

        Raises
        ------
        VaultError
            If none are configured.
        """
        if self._vault is None:
            raise VaultError(
                "personal data: no key is configured; set personal_data_key, or give a key file"
            )
        return self._vault

    def put(
        self,
        owner: str,
        values: Mapping[str, Any],
        *,
        by: str,
        at_ns: int,
        purpose: str = "",
        consent_until_ns: int | None = None,
    ) -> None:
        """Seal and store fields of an owner (a subject, or ``worker:ID``).

        Parameters
        ----------
        values : mapping
            Field → plain value: ``name``, ``address``, ``contacts`` …
        """
        vault = self.vault()
        rows = []
        for field, value in values.items():
            key, sealed = vault.seal(owner, field, value)
            rows.append(
                {
                    "owner": owner,
                    "field": field,
                    "key_id": key,
                    "sealed": sealed,
                    "updated_ns": at_ns,
                    "purpose": purpose,
                    "consent_until_ns": consent_until_ns,
                }
            )
        detail = {"fields": sorted(values), "purpose": purpose}
        with self._database.write() as connection:
            write(connection, t.people, rows, How.REPLACE)
            line = audit_row(by, at_ns, "personal_data_written", owner, detail)
            write(connection, t.audit_log, [line])

    def look(self, owner: str, fields: tuple[str, ...], look: Look) -> dict[str, Any]:
        """Return fields of an owner that are there and whose consent holds.

        The look is in the audit log, committed, before anything is returned.
        """
        vault = self.vault()
        c = t.people.c
        query = select(c.field, c.key_id, c.sealed, c.consent_until_ns).where(
            c.owner == owner, c.field.in_(fields)
        )
        with self._database.write() as connection:
            rows = connection.execute(query).all()
            line = audit_row(
                look.who, look.at_ns, "personal_data_seen", owner,
                {"fields": sorted(fields), "why": look.why},
            )  # fmt: skip
            write(connection, t.audit_log, [line])
        return {
            row.field: vault.unseal(owner, row.field, row.key_id, row.sealed)
            for row in rows
            if row.consent_until_ns is None or look.at_ns < row.consent_until_ns
        }

    def forget(self, owner: str, *, by: str, at_ns: int) -> int:
        """Erase all personal data of an owner; return how many fields there were."""
        with self._database.write() as connection:
            gone = connection.execute(delete(t.people).where(t.people.c.owner == owner)).rowcount
            line = audit_row(by, at_ns, "personal_data_erased", owner, {"fields": gone})
            write(connection, t.audit_log, [line])
        return gone
