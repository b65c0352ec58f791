"""The exercises of part 5: keypoints of your own, and many films."""

import numpy as np

from helpers.exercises.answers import as_array, exercise


@exercise("mirrored corners")
def mirrored_corners(function):
    rng = np.random.default_rng(0)
    for width in (240, 99):
        corners = np.array([[20, 30], [70, 35], [75, 90], [15, 80]]) + rng.uniform(-5, 5, (4, 2))
        moved = np.column_stack([width - 1 - corners[:, 0], corners[:, 1]])
        answer, right = as_array(function(corners, width)), moved[[1, 0, 3, 2]]
        if answer.shape != (4, 2):
            return f"four corners, x and y, are wanted: shape (4, 2), not {answer.shape}."
        if np.allclose(answer, moved) or np.allclose(answer, moved + np.array([1, 0])):
            return "the places are right, and the names are not: the left corners of the mirror image were right ones."
        if np.allclose(answer, right + np.array([1, 0])):
            return "with whole numbers at the pixels' centres, column 0 becomes column width - 1."
        if np.allclose(answer, corners[[1, 0, 3, 2]]):
            return "the names are exchanged, but the places did not move."
        if not np.allclose(answer, right):
            return "x becomes width - 1 - x, y stays, and left and right exchange their names."
    return None
