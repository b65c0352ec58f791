"""The exercises of part 5: keypoints of your own, and many films."""

import numpy as np

from helpers.exercises.answers import as_array, as_number, exercise


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


@exercise("films to break even")
def films_to_break_even(function):
    for given, right in (
        ((0, 2, 10, 1), 11),  # equal with 10
        ((0, 1, 9, 0.6), 23),
        ((0.5, 1, 25.5, 0.5), 51),
        ((0, 1, 5, 1), np.inf),
        ((0, 1, 5, 1.5), np.inf),
        ((5, 2, 0, 1), 0),
    ):
        answer = as_number(function(*given))
        if right == np.inf and np.isfinite(answer):
            return "B starts later here, and is no faster with a film: it never overtakes A, so infinity."
        if not right and answer < 0:
            return "B starts earlier here, and is faster: there are no fewer than 0 films."
        if answer == right - 1 < np.inf:
            return f"with {right - 1:.0f} films B is not yet done before A: it must be strictly earlier."
        if np.isfinite(right) and not float(answer).is_integer():
            return "films come whole: an int is wanted."
        if answer != right:
            start_a, each_a, start_b, each_b = given
            return (
                f"A: {start_a} s and {each_a} s a film, B: {start_b} s and {each_b} s a film: it is {right} films, and "
                f"your function gives {answer:g}."
            )
    return None
