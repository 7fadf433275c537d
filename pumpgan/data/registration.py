"""Where a photograph stands against a reference photograph of the same part."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

LARGEST_SIDE = 1024  # pixels that are compared; larger photographs are reduced by a whole factor
LARGEST_SHIFT = 0.1  # of a side: parts with a repeating pattern match themselves further off
COARSEST = 1 / 16  # of the longer side: broader changes of brightness are light, not the part

Grey = NDArray[np.float32]


class Reference:
    """A photograph that others are registered against.

    Its middle (all but `LARGEST_SHIFT` at each edge, so nothing has to be faded out) is compared with every place of
    the photograph that it can lie in, by the correlation coefficient of the two after slow changes of brightness are
    taken away; a parabola through the best place and its neighbours gives fractions of a pixel. Not phase correlation:
    whitened spectra let the fine pattern decide, and that repeats on MVTec's transistors.
    """

    def __init__(self, pixels: NDArray[np.uint8]):
        """pixels: uint8 [H, W] or [H, W, 3]."""
        self.size = pixels.shape[:2]
        grey, self.factor = detail(pixels)
        self.reach = tuple(max(1, int(LARGEST_SHIFT * n)) for n in grey.shape)  # pixels of `grey`
        self.padded = tuple(fft.next_fast_len(n, real=True) for n in grey.shape)
        middle = grey[self.reach[0] : -self.reach[0], self.reach[1] : -self.reach[1]]
        if not middle.size:
            raise ValueError(f"registration: photographs must be at least 3 pixels each way, got {self.size}")
        self.middle = middle.shape
        self.spectrum = fft.rfft2(middle - middle.mean(), self.padded).conj()

    def shift(self, pixels: NDArray[np.uint8]) -> tuple[float, float] | None:
        """How far (down, right) the part lies from where it lies in the reference, in pixels of the photograph.

        Less than `LARGEST_SHIFT` of a side; None where no place nearer than that fits best, as in a photograph without
        any detail. Raises ValueError where it has another size than the reference.
        """
        if pixels.shape[:2] != self.size:
            raise ValueError(
                f"registration: all photographs of a part must have one size, {self.size[1]}x{self.size[0]} "
                f"(width x height), got {pixels.shape[1]}x{pixels.shape[0]}"
            )
        grey, _ = detail(pixels)
        places = tuple(2 * n + 1 for n in self.reach)
        products = fft.irfft2(fft.rfft2(grey, self.padded) * self.spectrum, self.padded)[: places[0], : places[1]]
        variance = window_sums(grey**2, self.middle) - window_sums(grey, self.middle) ** 2 / np.prod(self.middle)
        likeness = products / np.sqrt(np.maximum(variance, variance.max() * 1e-6) + 1e-9)
        y, x = np.unravel_index(likeness.argmax(), places)
        if y in (0, places[0] - 1) or x in (0, places[1] - 1):
            return None
        down = y + vertex(likeness[:, x], int(y)) - self.reach[0]
        right = x + vertex(likeness[y], int(x)) - self.reach[1]
        return float(down) * self.factor, float(right) * self.factor


def detail(pixels: NDArray[np.uint8]) -> tuple[Grey, int]:
    """The grey photograph without slow changes of brightness, and the factor it is reduced by to `LARGEST_SIDE`."""
    image = Image.fromarray(pixels).convert("L")
    factor = -(-max(image.size) // LARGEST_SIDE)
    grey = np.asarray(image.reduce(factor) if factor > 1 else image, np.float32)
    return grey - ndimage.uniform_filter(grey, 2 * int(COARSEST * max(grey.shape)) + 1, mode="nearest"), factor


def window_sums(values: Grey, window: tuple[int, ...]) -> NDArray[np.float64]:
    """The sum of `values` in every place that the window (height, width) can lie in."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    values.cumsum(0, dtype=np.float64).cumsum(1, out=total[1:, 1:])
    height, width = window
    return total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]


def vertex(values: NDArray[np.floating], i: int) -> float:
    """Where between its neighbours the peak at `i` lies, -0.5 to 0.5: the vertex of the parabola through the three."""
    if not 0 < i < len(values) - 1:
        return 0.0
    before, peak, after = (float(v) for v in values[i - 1 : i + 2])
    curvature = before - 2 * peak + after
    return 0.5 * (before - after) / curvature if curvature < 0 else 0.0
