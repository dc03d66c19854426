from pathlib import Path

from common.web.assets import collect
from common.web.pages import Pages


def test_a_page_is_in_the_frame_and_escapes_what_it_is_given(tmp_path: Path) -> None:
    text = '{% extends "shell.html" %}{% block content %}{{ name }}{% endblock %}'
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    found = Pages(tmp_path, collect([])).render("page.html", name="<script>alert(1)</script>")
    assert "&lt;script&gt;alert(1)" in found
    assert "/static/web.css?v=" in found
    assert "<style" not in found
    assert " style=" not in found
