"""Real vectors with nothing to download: dense SIFT descriptors of well-known photographs.

The pictures lie inside the scikit-image and scikit-learn wheels; OpenCV computes a descriptor for
points of a fixed grid at three scales and two sizes.  Wheels are pinned exactly and the result's
checksum is compared with the known one, so that two runs speak of the same rows.  OpenCV rounds a
few descriptors differently on other instruction sets; such an array is accepted, and said to be so,
when its mean is the known one.
"""

import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from roost.errors import CorruptRecord, Unavailable

DIM = 128
QUERY_ROWS = 10_000
SCALES = (1.0, 0.75, 0.5)
POINT_SIZES_PX = (6, 12)
GRID_STEP_PX = 2
MARGIN_PX = 8
PATCH_SIDE_FACTOR = 6
"""A descriptor of a point of size s sees about 6 s pixels: 4 cells of 1.5 s.  Source: cv::SIFT."""
PICTURES = (
    "astronaut", "brick", "camera", "chelsea", "china", "coffee", "coins", "color", "flower",
    "grass", "gravel", "hubble_deep_field", "ihc", "moon", "motorcycle_left", "page", "retina",
    "rocket", "text",
)  # fmt: skip
MEAN_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an array must be: one of these bytes, or at least of this mean."""

    sha256: tuple[str, ...]
    mean: float


KNOWN: dict[int, Fingerprint] = {
    100_000: Fingerprint(
        (
            "8941c94b3be70cb6b33d1fd244ccf2007f61eb9eb746ba374ddde1d45042cbdf",  # AVX2
            "8930427cf8ebbcb8e9ede53601f25e0013b4dadfd142ea6b9ff0d8619d0fd7d9",  # SSE
        ),
        30.1817,
    ),
    1_000_000: Fingerprint(
        ("e9271207156f14e117cd89a2f1334812afef81b1264ea74432580903a549c596",),  # AVX2
        30.1834,
    ),
}
"""By number of rows asked for."""

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what is being read."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Distinct descriptors in a fixed random order, and where each was taken."""

    vectors: npt.NDArray[np.uint8]
    """(n, 128)"""
    pictures: npt.NDArray[np.uint8]
    """(n,) index into `picture_paths`."""
    places: npt.NDArray[np.float32]
    """(n, 3) x, y and size of the point in pixels of the unscaled picture."""
    picture_paths: tuple[Path, ...]
    exact: bool
    """False if this processor rounded some values differently than the known array."""


def load(rows: int, cache: Path | None = None, progress: Progress | None = None) -> Descriptors:
    """Return `rows` base descriptors followed by QUERY_ROWS others, computed once and then cached.

    Raises Unavailable if the picture libraries are missing, CorruptRecord if the pictures or the
    computed array are not the known ones.
    """
    paths = picture_paths()
    folder = cache if cache is not None else default_cache()
    file = folder / f"dense-sift-{rows}.npz"
    if not file.exists():
        _compute(rows, paths, file, progress)
    with np.load(file) as stored:
        vectors, pictures, places = stored["vectors"], stored["pictures"], stored["places"]
    return Descriptors(vectors, pictures, places, paths, _is_known(vectors, rows, file))


def default_cache() -> Path:
    """Return the user's cache folder for the demo.  Source: XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "roost" / "demo"


def picture_paths() -> tuple[Path, ...]:
    """Return the files of PICTURES, in order.  Raises Unavailable without the wheels."""
    folders = [_package("skimage") / "data", _package("sklearn") / "datasets" / "images"]
    by_stem = {p.stem: p for folder in folders for p in sorted(folder.iterdir())}
    missing = [stem for stem in PICTURES if stem not in by_stem]
    if missing:
        raise Unavailable(f"pictures are missing: {', '.join(missing)}", hint=_INSTALL)
    return tuple(by_stem[stem] for stem in PICTURES)


_INSTALL = "Install the demo's pinned libraries: pip install 'roost[demo]'."


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise Unavailable(f"the demo needs the package {name}", hint=_INSTALL)
    return Path(found.origin).parent


def _compute(rows: int, paths: tuple[Path, ...], file: Path, progress: Progress | None) -> None:
    wanted = rows + QUERY_ROWS
    points_max = int(wanted * 1.35) // (len(paths) * len(SCALES))
    parts: list[tuple[npt.NDArray[np.uint8], int, npt.NDArray[np.float32]]] = []
    for picture, path in enumerate(paths):
        if progress is not None:
            progress(picture, len(paths), path.name)
        parts += [(v, picture, at) for v, at in _describe(path, picture, points_max)]
    vectors = np.concatenate([v for v, _, _ in parts])
    pictures = np.concatenate([np.full(len(v), p, np.uint8) for v, p, _ in parts])
    places = np.concatenate([at for _, _, at in parts])
    chosen = _distinct(vectors, wanted)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.tmp")
    with partial.open("wb") as out:
        np.savez(out, vectors=vectors[chosen], pictures=pictures[chosen], places=places[chosen])
    partial.replace(file)


def _describe(
    path: Path, picture: int, points_max: int
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]]:
    try:
        import cv2
    except ImportError:
        raise Unavailable("the demo needs OpenCV", hint=_INSTALL) from None
    opencv: Any = cv2  # its stubs lack SIFT
    sift = opencv.SIFT_create()
    image: Any = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    for step, scale in enumerate(SCALES):
        scaled = image if scale == 1.0 else cv2.resize(image, None, fx=scale, fy=scale)
        places = _grid(scaled.shape, np.random.default_rng([picture, step]), points_max)
        points = [cv2.KeyPoint(*place) for place in places.tolist()]
        kept, described = sift.compute(scaled, points)
        assert len(kept) == len(points), "SIFT dropped a point of the grid"
        yield described.astype(np.uint8), (places / scale).astype(np.float32)


def _grid(
    shape: tuple[int, ...], random: np.random.Generator, points_max: int
) -> npt.NDArray[np.float32]:
    height, width = shape[:2]
    y, x, size = np.meshgrid(
        np.arange(MARGIN_PX, height - MARGIN_PX, GRID_STEP_PX),
        np.arange(MARGIN_PX, width - MARGIN_PX, GRID_STEP_PX),
        POINT_SIZES_PX,
        indexing="ij",
    )
    places = np.stack([x.ravel(), y.ravel(), size.ravel()], axis=1).astype(np.float32)
    if len(places) > points_max:
        places = places[np.sort(random.choice(len(places), points_max, replace=False))]
    return places


def _distinct(vectors: npt.NDArray[np.uint8], wanted: int) -> npt.NDArray[np.int64]:
    """Return `wanted` row numbers of distinct, not nearly empty descriptors, in random order.

    The order is drawn before the values are looked at, so that rounding hardly changes it.
    """
    order = np.random.default_rng(0).permutation(len(vectors))
    shuffled = vectors[order]
    _, first = np.unique(shuffled.view(f"V{DIM}").ravel(), return_index=True)
    first = np.sort(first)
    textured = first[shuffled[first].sum(axis=1, dtype=np.int64) > 100]
    if len(textured) < wanted:
        raise CorruptRecord("demo pictures", f"{len(textured)} distinct vectors, {wanted} wanted")
    chosen: npt.NDArray[np.int64] = order[textured[:wanted]]
    return chosen


def _is_known(vectors: npt.NDArray[np.uint8], rows: int, file: Path) -> bool:
    known = KNOWN.get(rows)
    if known is None:
        return False
    if hashlib.sha256(np.ascontiguousarray(vectors).data).hexdigest() in known.sha256:
        return True
    mean = float(vectors.mean())
    if vectors.shape != (rows + QUERY_ROWS, DIM) or abs(mean - known.mean) > MEAN_TOLERANCE:
        raise CorruptRecord(
            str(file),
            f"these are not the demo's vectors (mean {mean:.3f}, not {known.mean:.3f})",
            hint="Delete the file and install the pinned versions: pip install 'roost[demo]'.",
        )
    return False
