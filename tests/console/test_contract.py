"""The front end's types are those of the API, and its texts exist in both languages."""

from engine.console.typescript import TARGET, module_text


def test_types_are_those_of_the_api() -> None:
    assert TARGET.read_text(encoding="utf-8") == module_text(), (
        "run `python -m engine.console.typescript`"
    )
