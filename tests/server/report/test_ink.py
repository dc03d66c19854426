import re

from server.report.ink import ROLES, SERIES, STAND_INS, label, new_axes, to_svg


def drawn(name="a chart"):
    figure, axes = new_axes()
    axes.plot([0, 1], [0, 1], color=STAND_INS["series-1"], marker="o")
    label(axes, "x", "y")
    return to_svg(figure, name=name)


def test_every_colour_follows_the_theme():
    svg = drawn()
    assert not re.findall(r"#[0-9a-f]{6}\b", svg)
    roles = set(re.findall(r"var\(--([\w-]+)\)", svg))
    assert roles <= set(ROLES)
    assert {"series-1", "ink", "muted", "grid"} <= roles


def test_stand_ins_differ_and_every_role_is_in_the_style_sheet():
    from server.report.render import TEMPLATES

    assert len(set(STAND_INS.values())) == len(ROLES)
    sheet = (TEMPLATES / "report.css").read_text()
    light, dark = sheet.split("@media screen and (prefers-color-scheme: dark)")[:2]
    for role in ROLES:
        assert f"--{role}:" in light
        assert f"--{role}:" in dark.split("* { box-sizing")[0]
    assert len(SERIES) == 8


def test_the_same_figure_gives_the_same_text_and_other_names_other_ids():
    assert drawn() == drawn()
    ids = [set(re.findall(r' id="([^"]*)"', drawn(name))) for name in ("one", "two")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_the_label_cannot_leave_its_attribute():
    svg = drawn('"><script>')
    assert "<script>" not in svg
    assert svg.startswith('<svg role="img" aria-label="&#34;&gt;')
    head = svg[: svg.index(">")]
    assert "width" not in head
    assert "viewBox" in head
