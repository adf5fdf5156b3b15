"""`gridwarden users`: accounts of the console from a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from engine.store import Store
    from engine.store.accounts import AccountRow

store_option = click.option(
    "--store",
    envvar="GRIDWARDEN_STORE",
    default="sqlite:///gridwarden.db",
    show_default=True,
    metavar="URL",
    help="Where the accounts are; also GRIDWARDEN_STORE.",
)
by_option = click.option("--by", envvar="GRIDWARDEN_USER", default="terminal", metavar="WHO")


def _open(url: str) -> Store:
    from engine.store import Store

    return Store.open(url, create=False)


def _now_ns(store: Store) -> int:
    return store.clock() or time.time_ns()


def _ask(given: bool) -> str:
    """Return a password typed twice, or a made one that is printed."""
    from engine.language import pick
    from engine.store.accounts import make_password

    if given:
        return str(
            click.prompt(pick("密码", "password"), hide_input=True, confirmation_prompt=True)
        )
    made = make_password()
    click.echo(pick(f"密码（仅显示这一次）：{made}", f"password (shown this once): {made}"))
    return made


def _show(row: AccountRow) -> None:
    flags = [name for name, on in (("wall", row.wall), ("disabled", row.disabled)) if on]
    scope = ",".join(code or "*" for code in row.scope)
    parts = [row.name, ",".join(row.roles), scope, row.worker_id or "-", *flags]
    click.echo("\t".join(parts))


@click.group()
def users() -> None:
    """Accounts of the console."""


@users.command("list")
@store_option
def list_(store: str) -> None:
    """List accounts: name, roles, places, worker."""
    with _open(store) as opened:
        for row in opened.accounts.list():
            _show(row)


@users.command()
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, help="Repeatable.")
@click.option("--place", "scope", multiple=True, help="Place code; repeatable; none: everywhere.")
@click.option("--worker", metavar="ID", help="Who this is in the roster.")
@click.option("--wall", is_flag=True, help="A wall display: no ids, no details.")
@click.option("--ask", is_flag=True, help="Ask for the password instead of making one.")
@by_option
@store_option
def add(
    name: str, roles: tuple[str, ...], scope: tuple[str, ...], worker: str | None, wall: bool,
    ask: bool, by: str, store: str,
) -> None:  # fmt: skip
    """Add an account; its password is made and printed once, or asked for."""
    with _open(store) as opened:
        opened.accounts.add(
            name, roles=roles, scope=scope or ("",), password=_ask(ask), worker_id=worker,
            wall=wall, by=by, at_ns=_now_ns(opened),
        )  # fmt: skip


@users.command()
@click.argument("name")
@click.option("--ask", is_flag=True, help="Ask for the password instead of making one.")
@by_option
@store_option
def passwd(name: str, ask: bool, by: str, store: str) -> None:
    """Set a password; the account's sessions end."""
    with _open(store) as opened:
        opened.accounts.set_password(name, _ask(ask), by=by, at_ns=_now_ns(opened))


@users.command()
@click.argument("name")
@click.option("--role", "chosen", multiple=True, help="All roles it shall have; repeatable.")
@click.option("--place", "scope", multiple=True, help="All places; repeatable.")
@click.option("--disable/--enable", default=None, help="Whether it can sign in.")
@by_option
@store_option
def roles(
    name: str, chosen: tuple[str, ...], scope: tuple[str, ...], disable: bool | None, by: str,
    store: str,
) -> None:  # fmt: skip
    """Show what an account may do, or change it; its sessions end then."""
    changes: dict[str, object] = {}
    if chosen:
        changes["roles"] = chosen
    if scope:
        changes["scope"] = scope
    if disable is not None:
        changes["disabled"] = disable
    with _open(store) as opened:
        if changes:
            opened.accounts.change(name, by=by, at_ns=_now_ns(opened), **changes)
        row = opened.accounts.get(name)
        if row is None:
            from engine.store.accounts import AccountError

            raise AccountError(f"account {name!r}: there is none; `gridwarden users list`")
        _show(row)
