"""What keeps a line of CSV from spoiling its neighbours, against counting line by line."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from connectors.csv_rows import _quotes_close


@given(st.lists(st.sampled_from(['"', "\n", "a", "!", "#", "\x0b", "é", "b,"]), max_size=60))
def test_quotes_are_counted_in_each_line(parts: list[str]) -> None:
    data = "".join(parts).encode()
    even = all(line.count(b'"') % 2 == 0 for line in data.split(b"\n"))
    assert _quotes_close(np.frombuffer(data, np.uint8)) == even
