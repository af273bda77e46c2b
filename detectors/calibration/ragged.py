"""One small matrix for each trait, applied to flat vectors: traits of equal shape are multiplied together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, IndexArray

__all__ = ["RaggedMap", "ragged_map"]


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    traits: IndexArray  # [n]
    inward: IndexArray  # [n, n_in]
    outward: IndexArray  # [n, n_out]
    matrices: FloatArray  # [n, n_in, n_out]


@dataclass(frozen=True, kw_only=True, eq=False)
class RaggedMap:
    """A block diagonal matrix.

    Parameters
    ----------
    sizes : ndarray of intp, shape [n_traits]
        Length of each trait's part of the result.
    shapes : sequence
        The blocks, those of one shape together.
    """

    sizes: IndexArray
    shapes: Sequence[_Shape]

    @property
    def starts(self) -> IndexArray:
        """First place of each trait in the result; shape [n_traits]."""
        return (np.cumsum(self.sizes) - self.sizes).astype(np.intp)

    def __call__(self, flat: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> FloatArray:
        """Apply it: [..., n_in_total] to [..., n_out_total]."""
        before = flat.shape[:-1]
        n_before = math.prod(before)
        # As many rows as vectors, said outright: numpy cannot work out how many nothings a trait without components has.
        rows = flat.reshape(n_before, flat.shape[-1])
        result = np.empty((n_before, int(self.sizes.sum())))
        for shape in self.shapes:
            # The traits are the stack of a stacked product.
            parts = rows[:, shape.inward].transpose(1, 0, 2).astype(np.float64, copy=False)
            result[:, shape.outward] = (parts @ shape.matrices).transpose(1, 0, 2)
        return result.reshape(*before, result.shape[1])

    def then(self, after: "RaggedMap") -> "RaggedMap":
        """Put another one behind it."""
        first, second = self.matrices(), after.matrices()
        return ragged_map([a @ b for a, b in zip(first, second, strict=True)])

    def matrices(self) -> list[FloatArray]:
        """The block of each trait, of shape [n_in, n_out]."""
        blocks: dict[int, FloatArray] = {}
        for shape in self.shapes:
            blocks.update(zip(shape.traits.tolist(), shape.matrices, strict=True))
        return [blocks[trait] for trait in range(self.sizes.size)]


def ragged_map(matrices: Sequence[FloatArray]) -> RaggedMap:
    """Make one from the block of each trait, of shape [n_in, n_out]."""
    ins = np.array([block.shape[0] for block in matrices], dtype=np.intp)
    outs = np.array([block.shape[1] for block in matrices], dtype=np.intp)
    in_starts, out_starts = np.cumsum(ins) - ins, np.cumsum(outs) - outs
    shapes = []
    for n_in, n_out in sorted(set(zip(ins.tolist(), outs.tolist(), strict=True))):
        traits = np.flatnonzero((ins == n_in) & (outs == n_out)).astype(np.intp)
        shapes.append(
            _Shape(
                traits,
                (in_starts[traits, None] + np.arange(n_in)).astype(np.intp),
                (out_starts[traits, None] + np.arange(n_out)).astype(np.intp),
                np.stack([matrices[trait] for trait in traits.tolist()]),
            )
        )
    return RaggedMap(sizes=outs, shapes=shapes)
