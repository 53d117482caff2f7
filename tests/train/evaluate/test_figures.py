"""Figures as SVG: colours of the page, text as harmless text, nothing that another figure could disturb."""

import re

import pytest

from texneg.train.evaluate.figures import ARMS, AXIS, MARKERS, Look, subplots, to_svg

EVIL = "\"><script>'& $x_$ <img src=x>"


def drawn(title="A title", label="name"):
    def make():
        figure, (left, right) = subplots(columns=2, height=300)
        for number in range(ARMS + 1):
            look = Look(f"arm {number}", number)
            left.plot([0, 1], [number, number], label=look.label, **look.line)
            left.plot(1, number, **look.point)
        right.axvline(0.5, color=AXIS)
        right.set_xticks([0, 1], [label, "−1"])
        right.set_title(label)
        return figure

    return to_svg(title, make)


def test_colours_are_variables_of_the_page():
    svg = drawn()
    assert {f"var(--arm-{i})" for i in range(ARMS)} <= set(re.findall(r"var\(--arm-\d\)", svg))
    assert {"var(--ink)", "var(--axis)", "var(--grid)", "var(--paper)"} <= set(
        re.findall(r"var\(--\w+\)", svg)
    )
    assert not re.search(r"#[0-9a-f]{6}\b(?!\")", svg)
    assert "rgb" not in svg


def test_text_is_text_and_cannot_become_markup():
    svg = drawn(EVIL, EVIL)
    assert svg.startswith("<svg ")
    assert svg.endswith("</svg>")
    assert "<script" not in svg
    assert "<img" not in svg
    assert svg.count("&lt;script&gt;") == 3  # title, tick, heading
    assert ">−1</text>" in svg


def test_a_figure_is_alone_on_the_page_and_the_same_each_time():
    first, second = drawn("one"), drawn("two")
    assert first == drawn("one")
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', first))
    assert used == ids[0]
    assert not re.search(r"<style|<metadata|https?://", first)


def test_markers_differ_where_colours_may_not_be_told_apart():
    assert len({Look("", number).marker for number in range(len(MARKERS))}) == len(MARKERS)
    assert Look("", 0).line["linestyle"] != Look("", 1).line["linestyle"]


@pytest.mark.filterwarnings("error")
def test_a_name_in_any_script_makes_no_noise():
    assert "図形" in drawn(label="図形")


def test_no_figure():
    assert to_svg("nothing", lambda: None) is None
