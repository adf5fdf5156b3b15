"""`gridwarden serve`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
def serve(config_file: Path) -> int:
    """Serve the console of a site: what `gridwarden run` writes, it shows.

    Where there is no account yet, one named admin is made and its password printed once.
    """
    from engine.config import load
    from engine.console.app import WEB
    from engine.console.serve import FIRST_ADMIN, Server, first_admin, open_console
    from engine.language import pick

    config = load(config_file)
    console = open_console(config)
    password = first_admin(console.store, console.now_ns())
    server = Server(console, config.console.host, config.console.port)

    def ready() -> None:
        click.echo(server.url)
        if password is not None:
            click.echo(
                pick(
                    f"首个账号 {FIRST_ADMIN}，密码（仅显示这一次）：{password}",
                    f"first account {FIRST_ADMIN}, password (shown this once): {password}",
                ),
                err=True,
            )
        if not (WEB / "index.html").is_file():
            click.echo(
                pick(
                    "页面尚未构建：请运行 make console；接口已可使用。",
                    "the pages are not built: run `make console`; the API works.",
                ),
                err=True,
            )

    try:
        server.run(ready)
    finally:
        console.store.close()
    return 0
