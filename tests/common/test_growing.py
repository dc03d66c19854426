"""However a file grows, its lines come whole and once, and the position goes on from there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.growing import lines_after


@given(st.lists(st.binary(max_size=9)), st.lists(st.integers(0, 60)))
def test_lines_come_once_and_whole(
    tmp_path_factory: pytest.TempPathFactory, texts: list[bytes], ends: list[int]
) -> None:
    lines = [text.replace(b"\n", b"-") + b"\n" for text in texts]
    content = b"".join(lines) + b"not whole"
    path, position, found = tmp_path_factory.getbasetemp() / "growing", 0, list[bytes]()
    for end in [*sorted(ends), len(content)]:
        path.write_bytes(content[:end])
        for after, line in lines_after(path, position):
            position = after
            found.append(line)
    assert found == lines
    assert position == len(content) - len(b"not whole")
