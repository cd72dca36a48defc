"""Near-duplicate pairs: cropped, toned, overlaid, stretched, mirrored or re-encoded copies.

Two images are near duplicates if both are of one plain grey, or if one of two tests holds:

* Keypoints: an affine map found by RANSAC explains at least half of the matched ORB descriptors,
  without rotation or shear, and the pixels around them agree. Candidates are pairs that share rare
  32-bit parts of descriptors (locality-sensitive hashing by bit sampling).
* Whole image: the high-pass filtered thumbnails are nearly equal, directly or mirrored. Candidates
  are pairs of similar low-frequency cosine transforms, as of a perceptual hash.

Nothing depends on the order of the images: `near_duplicate_pairs` wants them in a canonical one.

Source: Rublee et al. 2011 (ORB); Fischler & Bolles 1981 (RANSAC); Indyk & Motwani 1998 (bit
sampling); Zauner 2010 (perceptual hashes).
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from PIL import Image
from scipy.sparse import csr_array

THUMBNAIL_SIDE = 64
_LONG_SIDE = 224  # of the image in which keypoints are found, so that coordinates fit uint8
_KEYPOINTS = 500
_MAX_IMAGES_OF_WORD = 32
_MIN_SHARED = (
    2.02  # sum of 1 / (images that have the word - 1): two words of no third image, or more
)
_MAX_DISTANCE = 64  # bits between matched descriptors
_MIN_INLIER_SHARE = 0.5
_MAX_ROTATION = 0.1
_MIN_SHARES = 0.05, 0.14  # of the images' areas that the inliers' hull covers: smaller, larger
_PLAIN = 8  # grey levels: the range of an image without content, and between two such images
_FREQUENCIES = 10  # of the cosine transform, in each direction
_MIN_COSINE = 0.8
_SCALE = 127  # of unit vectors before rounding: exact products in float32, whatever their order

# (f, y): row f of the cosine transform along one side of a thumbnail.
_BASIS = np.cos(
    np.pi / THUMBNAIL_SIDE * np.outer(np.arange(_FREQUENCIES), np.arange(THUMBNAIL_SIDE) + 0.5)
)
_FY, _FX = np.nonzero(np.add.outer(np.arange(_FREQUENCIES), np.arange(_FREQUENCIES)) < _FREQUENCIES)
_FY, _FX = _FY[1:], _FX[1:]  # without the mean


APPEARANCE = np.dtype([
    ("thumbnail", np.uint8, (THUMBNAIL_SIDE, THUMBNAIL_SIDE)),  # grey
    ("size", np.uint8, 2),  # width and height, the long side scaled to 224 pixels
    ("count", np.int16),  # K <= 500 keypoints
    ("points", np.uint8, (_KEYPOINTS, 2)),  # their x and y in `size`
    ("descriptors", np.uint8, (_KEYPOINTS, 32)),  # of ORB
])  # fmt: skip
"""What is compared of an image."""


def appearance_of(image: Image.Image) -> np.ndarray:
    """() of `APPEARANCE`, of an upright image of any size."""
    cv2.setNumThreads(1)  # images are described in parallel already
    found = np.zeros((), APPEARANCE)
    scale = _LONG_SIDE / max(image.size)
    size = [max(THUMBNAIL_SIDE // 2, round(side * scale)) for side in image.size]
    resampling = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    grey = cv2.resize(np.asarray(image.convert("L")), size, interpolation=resampling)
    found["size"] = size
    found["thumbnail"] = cv2.resize(grey, (THUMBNAIL_SIDE,) * 2, interpolation=cv2.INTER_AREA)
    detector = cv2.ORB.create(_KEYPOINTS, 1.2, 8, edgeThreshold=15, fastThreshold=10)
    points, descriptors = detector.detectAndCompute(grey, None)
    found["count"] = count = min(len(points), _KEYPOINTS)
    if count:
        found["points"][:count] = np.rint([point.pt for point in points[:count]])
        found["descriptors"][:count] = descriptors[:count]
    return found


def near_duplicate_pairs(
    images: np.ndarray,
    inliers: int,
    correlation: float,
    whole_correlation: float,
    threads: int = 1,
) -> np.ndarray:
    """(K, 2) int64 pairs i < j of near duplicates, sorted.

    Args:
        images: (N,) of `APPEARANCE`, in an order that depends on their content alone.
        inliers: least number of keypoints that the affine map explains.
        correlation: least correlation of the pixels in the inliers' convex hull.
        whole_correlation: least correlation of whole high-pass thumbnails.
    """

    def are_equal(pair: tuple[int, int, bool]) -> bool:
        i, j, mirrored = pair
        first, second = (_details(images[k]["thumbnail"]) for k in (i, j))
        return _correlation(first, second[:, ::-1] if mirrored else second) >= whole_correlation

    def overlap(pair: tuple[int, int]) -> bool:
        matched = _matches(*(images[k]["descriptors"][: images[k]["count"]] for k in pair))
        limits = max(inliers, _MIN_INLIER_SHARE * len(matched[0])), correlation
        left, right = ((images[k], at) for k, at in zip(pair, matched, strict=True))
        return len(matched[0]) >= inliers and (
            _overlap(left, right, *limits) or _overlap(right, left, *limits)
        )

    layouts, words = _similar_layouts(images), _shared_words(images)
    with ThreadPoolExecutor(threads) as executor:  # OpenCV and NumPy release the interpreter lock
        equal, overlapping = executor.map(are_equal, layouts), executor.map(overlap, words)
        found = {pair[:2] for pair, is_equal in zip(layouts, equal, strict=True) if is_equal}
        found |= {pair for pair, does in zip(words, overlapping, strict=True) if does}
    means = images["thumbnail"].mean(axis=(1, 2))
    plain = [k for k in np.argsort(means) if np.ptp(images["thumbnail"][k]) <= _PLAIN]
    near = [pair for pair in pairwise(plain) if np.ptp(means[list(pair)]) <= _PLAIN]
    found |= {(min(pair), max(pair)) for pair in near}
    return np.array(sorted(found), np.int64).reshape(-1, 2)


def _similar_layouts(images: np.ndarray) -> list[tuple[int, int, bool]]:
    """Pairs i < j whose cosine transforms are similar, and whether the second is mirrored."""
    transforms = [_transform(thumbnail) for thumbnail in images["thumbnail"]]
    vectors = np.array(transforms, np.float32).reshape(len(images), len(_FX))
    flipped = vectors * np.where(_FX % 2, -1, 1).astype(np.float32)
    pairs = []
    for start in range(0, len(vectors), 1024):
        rest = vectors[start:].T
        for mirrored, queries in ((False, vectors), (True, flipped)):
            near = queries[start : start + 1024] @ rest >= _MIN_COSINE * _SCALE**2
            left, right = np.nonzero(near)
            kept = left < right
            ends = left[kept] + start, right[kept] + start
            pairs += [(i, j, mirrored) for i, j in zip(*map(np.ndarray.tolist, ends), strict=True)]
    return pairs


def _transform(thumbnail: np.ndarray) -> np.ndarray:
    """(54,) whole float64: low frequencies, whitened as 1 / f, at the length `_SCALE`."""
    values = (_BASIS @ thumbnail @ _BASIS.T)[_FY, _FX] * np.hypot(_FY, _FX)
    return np.rint(values * (_SCALE / max(float(np.linalg.norm(values)), 1.0)))


def _shared_words(images: np.ndarray) -> list[tuple[int, int]]:
    """Pairs i < j that share rare words, a word being 32 bits of a descriptor at their place."""
    valid = np.arange(_KEYPOINTS) < images["count"][:, None]
    owner = np.nonzero(valid)[0].astype(np.uint64)
    owners, sizes = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for place in range(0, 32, 4):
        part = np.ascontiguousarray(images["descriptors"][:, :, place : place + 4])
        words = part.view("<u4")[:, :, 0][valid]
        keys = np.sort(words.astype(np.uint64) << np.uint64(32) | owner)
        keys = keys[np.diff(keys, prepend=~keys[:1]) != 0]
        words, having = keys >> np.uint64(32), keys.astype(np.uint32).astype(np.int32)
        size = np.diff(np.flatnonzero(np.diff(words, prepend=~words[:1], append=~words[-1:])))
        is_rare = (size > 1) & (size <= _MAX_IMAGES_OF_WORD)
        owners.append(having[np.repeat(is_rare, size)])
        sizes.append(size[is_rare].astype(np.int32))
    having, size = np.concatenate(owners), np.concatenate(sizes)
    del owners, owner, valid, part, keys, words
    weight = np.repeat(np.sqrt(1 / (size - np.float32(1))), size)
    starts = np.concatenate([[0], np.cumsum(size)]).astype(np.int32)
    by_word = csr_array((weight, having, starts), shape=(len(size), len(images)))
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(images), 512):
        shared = (by_word[:, start : start + 512].T.tocsr() @ by_word).tocoo()
        near = (shared.data >= _MIN_SHARED) & (shared.row + start < shared.col)
        pairs += zip((shared.row[near] + start).tolist(), shared.col[near].tolist(), strict=True)
    return pairs


_Side = tuple[Any, np.ndarray]


def _overlap(source: _Side, target: _Side, inliers: float, correlation: float) -> bool:
    """Whether an affine map takes a part of one image to the same pixels of the other.

    Args:
        source, target: appearance and matched rows of either image.
    """
    (first, left), (second, right) = source, target
    before, after = (THUMBNAIL_SIDE / one["size"] for one in (first, second))
    start, end = (
        first["points"][left].astype(np.float32),
        second["points"][right].astype(np.float32),
    )
    affine, mask = cv2.estimateAffine2D(start, end, ransacReprojThreshold=4, maxIters=1000)
    if affine is None or mask.sum() < inliers:
        return False
    rotation = np.abs(affine[[0, 1], [1, 0]]).sum() / np.abs(affine[[0, 1], [0, 1]]).sum()
    affine *= after[:, None] / [*before, 1]  # from thumbnail to thumbnail
    hull = cv2.convexHull((start * before)[mask[:, 0] > 0].astype(np.float32))
    inside: Any = np.zeros_like(first["thumbnail"])
    cv2.fillConvexPoly(inside, np.rint(hull).astype(np.int32), 1)
    share = inside.sum() / inside.size
    shares = sorted((share, share * abs(float(np.linalg.det(affine[:, :2])))))
    if rotation > _MAX_ROTATION or any(a < b for a, b in zip(shares, _MIN_SHARES, strict=True)):
        return False
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(_details(second["thumbnail"]), affine, inside.shape, flags=flags)
    details = _details(first["thumbnail"])
    return _correlation(details[inside > 0], warped[inside > 0]) >= correlation


def _matches(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of descriptors that are each other's nearest, at most `_MAX_DISTANCE` bits apart."""
    places = zip(first.view("<u8").T, second.view("<u8").T, strict=True)
    bits = sum(np.bitwise_count(one[:, None] ^ other) for one, other in places)  # (K, L) uint8
    nearest, rows = bits.argmin(axis=1), np.arange(len(first))
    mutual = (bits.argmin(axis=0)[nearest] == rows) & (bits[rows, nearest] <= _MAX_DISTANCE)
    return rows[mutual], nearest[mutual]


def _details(thumbnail: np.ndarray) -> np.ndarray:
    """(64, 64) float32: the thumbnail without low frequencies and noise."""
    smooth = cv2.GaussianBlur(thumbnail.astype(np.float32), (0, 0), 0.8)
    return np.asarray(smooth - cv2.GaussianBlur(smooth, (0, 0), 3.0))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation; 0 for a constant."""
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale > 1e-3 else 0.0
