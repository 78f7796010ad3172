"""The demo's picture: first-search times, and a query patch with its nearest neighbours."""

from pathlib import Path
from typing import Any

import numpy as np

from roost.bench.demo import ARTICLE_FIRST_SEARCH_S, Demo, DemoResult
from roost.bench.photographs import PATCH_SIDE_FACTOR, Descriptors
from roost.errors import Unavailable

SHOWN_NEIGHBOURS = 5


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
    figure = pyplot.figure(figsize=(11, 8.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(5, 6))
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
    axes.set_ylim(0, max(article_ms, *(s * 1e3 for s in result.first_search_seconds)) * 1.3)
    axes.legend(loc="upper center", ncols=3)


def _draw_neighbours(figure: Any, rows: int, demo: Demo, data: Descriptors) -> None:
    query = _telling_query(demo.queries)
    found = demo.nearest(demo.queries[query], SHOWN_NEIGHBOURS)
    shown = [("query", rows + query), *((f"{n}.", at) for n, at in enumerate(found, 1))]
    patches, photographs = figure.subplots(2, len(shown))
    for column, (label, at) in enumerate(shown):
        path = data.picture_paths[int(data.pictures[at])]
        image, box = _image(path), _box(*data.places[at].tolist())
        left, top, side = box
        patches[column].imshow(image, cmap="gray")
        patches[column].set_xlim(left, left + side)
        patches[column].set_ylim(top + side, top)
        patches[column].set_title(f"{label} {path.stem}", fontsize=9)
        photographs[column].imshow(image, cmap="gray")
        photographs[column].add_patch(_frame(box, image.shape))
        for axes in (patches[column], photographs[column]):
            axes.set_axis_off()
    figure.suptitle("A patch that was not inserted, its five nearest, and their photographs")


def _telling_query(queries: Any) -> int:
    """Return the query with the most evenly filled descriptor: a patch with much to see."""
    share = queries / queries.sum(axis=1, keepdims=True)
    return int(np.argmax(-(share * np.log(share + 1e-9)).sum(axis=1)))


def _image(path: Path) -> Any:
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None, path
    return image


def _box(x: float, y: float, size_px: float) -> tuple[float, float, float]:
    """Return left, top and side of the patch that a descriptor saw."""
    side = size_px * PATCH_SIDE_FACTOR
    return x - side / 2, y - side / 2, side


def _frame(box: tuple[float, float, float], shape: tuple[int, ...]) -> Any:
    """Return a frame around the patch, large enough to be seen in the small photograph."""
    from matplotlib.patches import Rectangle

    left, top, side = box
    grow = max(0.0, max(shape) / 12 - side) / 2
    corner = (left - grow, top - grow)
    return Rectangle(corner, side + 2 * grow, side + 2 * grow, fill=False, color="#c8502d", lw=1.8)
