"""The front end's types, written from the API's models: ``python -m engine.console.typescript``.

The answer goes to ``engine/console/web/src/lib/types.ts``; a test keeps both the same.
"""

from __future__ import annotations

import sys
import types
import typing
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, SecretStr

from engine.console import boards, requests, schemas, series

TARGET = Path(__file__).parent / "web" / "src" / "lib" / "types.ts"
_PLAIN: dict[Any, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    None: "null",
    type(None): "null",
    Any: "unknown",
    SecretStr: "string",
    datetime: "string",
    AwareDatetime: "string",
}


def typescript_of(annotation: Any) -> str:
    """Return the TypeScript of one annotation.

    Raises
    ------
    TypeError
        If it is of a kind that no model has used yet.
    """
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, TypeVar):
        return annotation.__name__
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return typescript_of(args[0])
    if origin is Literal:
        return " | ".join(
            str(a).lower() if isinstance(a, bool) else '"' + str(a) + '"' for a in args
        )
    if origin in (typing.Union, types.UnionType):
        return " | ".join(typescript_of(a) for a in args)
    if origin in (list, tuple):
        inner = typescript_of(args[0])
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if origin is dict:
        # A mapping answers "not there" for any key, so its values may be undefined.
        return f"Partial<Record<{typescript_of(args[0])}, {typescript_of(args[1])}>>"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.__name__
    raise TypeError(f"no TypeScript for {annotation!r}; teach engine.console.typescript")


def _interface(model: type[BaseModel], optional: bool) -> str:
    generic = model.__pydantic_generic_metadata__["parameters"]
    head = model.__name__ + (f"<{', '.join(p.__name__ for p in generic)}>" if generic else "")
    base = next((b for b in model.__mro__[1:] if b.__module__ == model.__module__), None)
    extends = f" extends {base.__name__}" if base and base.__name__ != "Model" else ""
    inherited = set(base.model_fields) if base and issubclass(base, BaseModel) and extends else ()
    lines = [f"export interface {head}{extends} {{"]
    for name, field in model.model_fields.items():
        if name in inherited:
            continue
        if field.description:
            lines.append(f"  /** {field.description} */")
        mark = "?" if optional and not field.is_required() else ""
        annotation = field.annotation
        lines.append(f"  {field.alias or name}{mark}: {typescript_of(annotation)};")
    return "\n".join([*lines, "}"])


def module_text() -> str:
    """Return the whole file."""
    parts = [
        "// Written by `python -m engine.console.typescript` from the API's models; do not edit.",
    ]
    for module, optional in ((schemas, False), (series, False), (boards, False), (requests, True)):
        for value in vars(module).values():
            if not isinstance(value, type) or not issubclass(value, BaseModel):
                continue
            if value.__module__ == module.__name__ and value.__name__ != "Model":
                parts.append(_interface(value, optional))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the file."""
    TARGET.write_text(module_text(), encoding="utf-8")
    print(f"{TARGET}: written", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
