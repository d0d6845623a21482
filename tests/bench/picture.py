"""The results as a picture: charts in one SVG, on a light card so that it reads on any page."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET

from pygal import Bar, HorizontalBar, Line
from pygal.style import Style

from tests.bench import latency, matrix, sizes, waiting
from tests.bench.peers import PEERS
from tests.bench.result import Result

WIDTH: Final = 720
HEIGHT: Final = 430
HEAD: Final = 70
SVG: Final = "http://www.w3.org/2000/svg"
COLOURS: Final = ("#5b6472", "#0b7285", "#c2570c")
"""The no-op's, the broker door's, the store door's, told apart without red and green."""
STYLE: Final = Style(
    background="transparent",
    plot_background="#f4f5f7",
    foreground="#2b303b",
    foreground_strong="#12151b",
    foreground_subtle="#c5cad3",
    colors=COLOURS * 2,
    guide_stroke_color="#c5cad3",
    major_guide_stroke_color="#a9b0bd",
    opacity="1",
    opacity_hover="1",
    font_family="system-ui, sans-serif",
    title_font_size=17,
    label_font_size=13,
    major_label_font_size=13,
    legend_font_size=13,
    value_font_size=12,
    value_colors=("#12151b",) * 6,
)
OPTIONS: Final[dict[str, Any]] = {
    "style": STYLE,
    "js": (),
    "width": WIDTH,
    "height": HEIGHT,
    "explicit_size": True,
    "show_y_guides": True,
    "legend_at_bottom": True,
    "legend_at_bottom_columns": 3,
    "truncate_legend": -1,
    "truncate_label": -1,
    "print_values": True,
    "print_values_position": "top",
    "max_scale": 8,
    "margin": 16,
    "margin_bottom": 34,
    "value_formatter": lambda value: f"{value:,.0f}",
}
SERIES: Final = ("no-op", "broker door", "store door, chunks")


def draw(results: Mapping[str, Result], captions: tuple[str, str]) -> str:
    """One SVG of all charts that have results; `captions` are its title and what was measured on.

    It has no script, no link and no font of its own.
    """
    charts = [chart for make in CHARTS if (chart := make(results)) is not None]
    rows = -(-len(charts) // 2)
    width, height = 2 * WIDTH, HEAD + rows * HEIGHT
    ET.register_namespace("", SVG)
    root = ET.Element(
        f"{{{SVG}}}svg",
        {"viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)},
    )
    ET.SubElement(
        root, f"{{{SVG}}}rect", {"width": "100%", "height": "100%", "rx": "12", "fill": "#ffffff"}
    )
    for text, y, size in ((captions[0], "32", "20"), (captions[1], "56", "13")):
        at = {"x": "24", "y": y, "font-size": size, "fill": "#12151b"}
        line = ET.SubElement(root, f"{{{SVG}}}text", at | {"font-family": "system-ui, sans-serif"})
        line.text = text
    for number, chart in enumerate(charts):
        # Through text: pygal may have made its tree with another library.
        drawn = ET.fromstring(chart.render(disable_xml_declaration=True))
        for parent in list(drawn.iter()):
            for child in list(parent):
                if child.tag in {f"{{{SVG}}}script", f"{{{SVG}}}desc"}:
                    parent.remove(child)
        drawn.set("x", str(number % 2 * WIDTH))
        drawn.set("y", str(HEAD + number // 2 * HEIGHT))
        root.append(drawn)
    return ET.tostring(root, encoding="unicode") + "\n"


def _matrix(results: Mapping[str, Result]) -> Any:
    cells = [
        (processes, threads)
        for processes in matrix.PROCESSES
        for threads in matrix.THREADS
        if matrix.named(SERIES[0], processes, threads) in results
    ]
    if not cells:
        return None
    chart = Bar(
        title="Commands per second, by processes x threads",
        **OPTIONS | {"print_values": False},
    )
    chart.x_labels = [f"{processes} x {threads}" for processes, threads in cells]
    for name in SERIES:
        chart.add(name, [results[matrix.named(name, *cell)].value for cell in cells])
    return chart


def _peers(results: Mapping[str, Result]) -> Any:
    shown = [one.name for one in reversed(PEERS) if one.name in results]
    if not shown:
        return None
    chart = HorizontalBar(
        title="Per second, one process of 8 threads, beside others",
        **OPTIONS | {"show_legend": False, "print_values": False, "max_scale": 5},
    )
    chart.x_labels = [f"{name}: {results[name].value:,.0f}" for name in shown]
    ours = dict(zip(SERIES, COLOURS, strict=True))
    chart.add(
        "per second",
        [{"value": results[name].value, "color": ours.get(name, "#9aa3b2")} for name in shown],
    )
    return chart


def _latency(results: Mapping[str, Result]) -> Any:
    if latency.named(SERIES[0], latency.LOADS[0], "from enqueue") not in results:
        return None
    chart = Line(
        title="Milliseconds by load in % of capacity: p99, p50 dashed",
        logarithmic=True,
        **OPTIONS
        | {"print_values": False, "value_formatter": lambda value: f"{value:g}", "dots_size": 4},
    )
    chart.x_labels = [f"{load} %" for load in latency.LOADS]
    found = {}
    for name in SERIES:
        start = "from enqueue" if name == "no-op" else "from acceptance"
        found[name] = [results[latency.named(name, load, start)] for load in latency.LOADS]
    values = [
        value for at in found.values() for one in at for value in (one.value, one.also["p50"])
    ]
    steps = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
    chart.y_labels = [step for step in steps if min(values) / 3.4 <= step <= max(values) * 3.4]
    for name, at in found.items():
        chart.add(f"{name}, p99", [one.value for one in at], stroke_style={"width": 3})
    for name, at in found.items():
        stroke = {"width": 2, "dasharray": "6, 5"}
        chart.add(f"{name}, p50", [one.also["p50"] for one in at], stroke_style=stroke)
    return chart


def _growth(results: Mapping[str, Result]) -> Any:
    shares = [
        (said, [ratio for name, ratio in results.items() if name.startswith(door) and end in name])
        for said, end in (
            ("a middle store", sizes.MIDDLE_SHARE),
            ("a big store", sizes.BIG_SHARE),
            ("many wait for a time", waiting.SCHEDULED),
            ("many wait for orders", waiting.ORDERLESS),
        )
        for door in SERIES[1:]
    ]
    if not any(found for _, found in shares):
        return None
    chart = Bar(
        title="Rate beside much else, as a share of a small store's (goal: 0.9)",
        range=(0, 1.2),
        **OPTIONS
        | {
            "value_formatter": lambda value: f"{value:.2f}",
            "style": Style(**STYLE.__dict__ | {"colors": COLOURS[1:]}),
        },
    )
    chart.x_labels = list(dict.fromkeys(said for said, _ in shares))
    for number, door in enumerate(SERIES[1:]):
        chart.add(door, [found[0].value if found else None for _, found in shares[number::2]])
    return chart


CHARTS: Final[tuple[Callable[[Mapping[str, Result]], Any], ...]] = (
    _matrix,
    _peers,
    _latency,
    _growth,
)
