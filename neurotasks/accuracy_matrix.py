"""What an accuracy matrix says: figures of continual learning as pure functions.

Entry [i, j] of a matrix R is the raw metric (accuracy, or return) in group j of the test set after
learning experience i. Libraries disagree on forgetting: Avalanche takes the first accuracy in place
of the best one, others let the last row into the maximum, so that nothing is ever remembered
better than before. Ours is that of Chaudhry et al. (2018).
"""

from __future__ import annotations

from neurotasks.arrays import Array

__all__ = ["area", "backward_transfer", "forgetting", "forward_transfer", "incremental"]


def forgetting(matrix: Array) -> float:
    """Return the mean drop from the best earlier accuracy to the final one, (E, E) to a number.

    It is the mean over j < E - 1 of max over j <= i < E - 1 of R[i, j], minus R[E - 1, j] (Chaudhry
    et al., 2018, "Riemannian walk"). The last row is no part of the maximum: it can be negative.
    """
    last = len(matrix) - 1
    drops = [float(matrix[j:last, j].max() - matrix[last, j]) for j in range(last)]
    return sum(drops) / len(drops)


def backward_transfer(matrix: Array) -> float:
    """Return the mean gain since each experience was learned, R[E - 1, j] - R[j, j].

    Source: Lopez-Paz and Ranzato (2017), "Gradient episodic memory".
    """
    last = len(matrix) - 1
    return sum(float(matrix[last, j] - matrix[j, j]) for j in range(last)) / last


def forward_transfer(matrix: Array, untrained: Array) -> float:
    """Return the mean gain before each experience is learned, R[j - 1, j] - untrained[j].

    Args:
        matrix: (E, E).
        untrained: (E,), what is earned in each group without learning.

    Source: Lopez-Paz and Ranzato (2017), "Gradient episodic memory".
    """
    last = len(matrix) - 1
    return sum(float(matrix[j - 1, j] - untrained[j]) for j in range(1, last + 1)) / last


def incremental(matrix: Array) -> float:
    """Return the mean over i of the mean accuracy on what was taught so far, R[i, :i + 1].

    Source: Rebuffi et al. (2017), "iCaRL", who call it average incremental accuracy.
    """
    return sum(float(row[: i + 1].mean()) for i, row in enumerate(matrix)) / len(matrix)


def area(matrix: Array) -> float:
    """Return the area under the curve of the accuracy over experiences, (E, G) to a number.

    The accuracy is that over the whole test set, the mean over groups, whatever was taught so far.
    """
    return float(matrix.mean())
