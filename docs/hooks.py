"""What the site needs and plain Markdown does not."""

import re
from typing import Any


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Escape the ``[[…]]`` of rules' sentences: two in a row would be read as a link."""
    if not page.file.src_uri.startswith("rules/"):
        return markdown
    parts = re.split(r"(`[^`\n]*`)", markdown)
    parts[::2] = [p.replace("[[", r"\[\[").replace("]]", r"\]\]") for p in parts[::2]]
    return "".join(parts)
