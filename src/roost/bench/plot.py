"""The demo's picture: first-search times, and a query patch with its nearest neighbours."""

from pathlib import Path
from typing import Any

import numpy as np

from roost.bench.demo import ARTICLE_FIRST_SEARCH_S, Demo, DemoResult
from roost.bench.photographs import PATCH_SIDE_FACTOR, Descriptors
from roost.errors import Unavailable

SHOWN_NEIGHBOURS = 5
CONTEXT_FACTOR = 2.5
"""How much more than the patch itself a small picture shows."""


def draw(result: DemoResult, demo: Demo, data: Descriptors, target: Path) -> None:
    """Write `target` (PNG).  Raises Unavailable without matplotlib and OpenCV."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise Unavailable(
            "demo.png needs matplotlib", hint="Install it: pip install 'roost[demo]'."
        ) from None
    figure = pyplot.figure(figsize=(11, 7.2), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(3, 2))
    _draw_times(upper.subplots(), result)
    _draw_neighbours(lower, result.rows, demo, data)
    figure.savefig(target, dpi=110)
    pyplot.close(figure)


def _draw_times(axes: Any, result: DemoResult) -> None:
    count = len(result.first_search_seconds)
    rows = np.linspace(result.rows / count, result.rows, count)
    axes.bar(
        rows,
        np.array(result.first_search_seconds) * 1e3,
        width=result.rows / count * 0.7,
        color="#3b7dd8",
        label="first search after each batch",
    )
    mean_ms = result.first_search_seconds_mean * 1e3
    axes.axhline(mean_ms, color="#1b3a66", label=f"average here: {mean_ms:.1f} ms")
    article_ms = ARTICLE_FIRST_SEARCH_S * 1e3
    axes.axhline(
        article_ms, color="#c8502d", linestyle="--", label=f"the article: {article_ms:.0f} ms"
    )
    axes.set_xlabel("rows inserted so far")
    axes.set_ylabel("milliseconds")
    axes.set_title(
        f"First search of just acknowledged rows, {result.rows:,} rows of 128 floats "
        f"(then: recall@10 {result.recall_at_10:.3f}, {result.search_qps:,.0f} queries/s)"
    )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(loc="upper left")


def _draw_neighbours(figure: Any, rows: int, demo: Demo, data: Descriptors) -> None:
    query = int(np.argmax(demo.queries.std(axis=1)))  # a patch with much in it
    found = demo.nearest(demo.queries[query], SHOWN_NEIGHBOURS)
    shown = [("query", rows + query), *((f"{n}.", at) for n, at in enumerate(found, 1))]
    for axes, (label, at) in zip(figure.subplots(1, len(shown)), shown, strict=True):
        path = data.picture_paths[int(data.pictures[at])]
        axes.imshow(_patch(path, *data.places[at].tolist()), cmap="gray")
        axes.set_title(f"{label} {path.stem}", fontsize=9)
        axes.set_axis_off()
    figure.suptitle("A patch that was not inserted, its five nearest, and their photographs")


def _patch(path: Path, x: float, y: float, size_px: float) -> Any:
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None, path
    half = int(size_px * PATCH_SIDE_FACTOR / 2 * CONTEXT_FACTOR)
    top, left = max(int(y) - half, 0), max(int(x) - half, 0)
    return image[top : int(y) + half, left : int(x) + half]
