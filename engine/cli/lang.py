"""``--lang``: the language of what one command says."""

from __future__ import annotations

from typing import Any

import click


def _speak(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    if value is None:
        return
    from engine.language import ASKED  # brings more along than help needs

    before = ASKED.set(value)
    ctx.call_on_close(lambda: ASKED.reset(before))


LANG = click.option(
    "--lang", type=click.Choice(["zh", "en"]), expose_value=False, is_eager=True, callback=_speak,
    help="Language of what is said; default: GRIDWARDEN_LANGUAGE, else that of the locale.",
)  # fmt: skip
