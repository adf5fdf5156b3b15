"""Roles of reStructuredText in our docstrings, as the site's Markdown has them."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|attr|data|mod):`~?([^`]+)`")


class Roles(griffe.Extension):
    """Writes ``:meth:`to_frame``` as code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of whatever was loaded."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value)
