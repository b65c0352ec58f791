"""Instant feedback on the notebooks' exercises: `check("name of the exercise", answer)`.

Each entry of `EXERCISES` takes the reader's answer, a value or a function, and returns None if it is right and a hint
otherwise. Answers are compared with tolerance; whatever an answer raises becomes part of the hint.
"""

import numpy as np

from helpers.keypoints import mutual_matches


def check(name, answer):
    """Print whether `answer` solves the exercise `name`: not attempted yet, right, or a hint.

    A value of None counts as not attempted, and so does a function that returns None.

    Raises:
        ValueError: there is no exercise of that name.
    """
    if name not in EXERCISES:
        raise ValueError(f"There is no exercise {name!r}; there are: {', '.join(EXERCISES)}.")
    try:
        hint = NOT_ATTEMPTED if answer is None else EXERCISES[name](answer)
    except Exception as error:
        hint = f"your answer raises {type(error).__name__}: {error}"
    if hint is NOT_ATTEMPTED:
        print(f"{name}: not attempted yet.")
    else:
        print(f"{name}: {'right.' if hint is None else f'not yet. Hint: {hint}'}")


NOT_ATTEMPTED = object()


def _about_100_keypoints(count):
    if count > 110:
        return f"{count} points are left: raise the threshold."
    if not count >= 90:  # NaN, too
        return f"{count} points are left: lower the threshold."
    return None


def _half_pixel_mapping(relative):
    if np.isclose(relative, (1000.5 * 640 / 4000 - 0.5) / 640, atol=1e-5):
        return None
    if np.isclose(relative, 0.25):
        return "0.25 is what you get without the half pixels: 1000 is the centre of a pixel that begins at 999.5."
    return "go to network pixels first, half a pixel in before scaling and half a pixel out after, then divide by 640."


def _repeatability_by_chance(share):
    if share > 1:
        return "a chance lies between 0 and 1."
    if np.isclose(share, (1 - np.pi * 9 / (320 * 240)) ** 300, atol=0.005):
        return "that is the chance that all 300 miss; you want the opposite."
    if np.isclose(share, 1 - (1 - np.pi * 9 / (320 * 240)) ** 300, atol=0.012):
        return None
    return "the disc has radius 3, so its area is pi * 9; all 300 points must miss it."


def _mutual_nearest_neighbours(function):
    rng = np.random.default_rng(0)
    for rows1, rows2 in ((60, 60), (40, 90), (90, 40)):
        first, second = rng.normal(size=(rows1, 16)), rng.normal(size=(rows2, 16))
        second[:20] = first[:20] + rng.normal(0, 0.2, (20, 16))
        first, second = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (first, second))
        answer = function(first, second)
        if answer is None:
            return NOT_ATTEMPTED
        answer = np.asarray(answer)
        if answer.ndim != 2 or answer.shape[1] != 2:
            return f"the result must have shape (K, 2), not {answer.shape}."
        mine, true = (set(map(tuple, pairs.tolist())) for pairs in (answer, mutual_matches(first, second)))
        if mine == {(j, i) for i, j in true} != true:
            return "the columns are swapped: first the row in descriptors1, then the row in descriptors2."
        if mine > true:
            return f"{len(mine - true)} of your pairs are not mutual: ask the second photograph as well."
        if mine != true:
            return f"{len(true - mine)} mutual pairs are missing, {len(mine - true)} are not mutual."
    return None


def _draws_of_ransac(function):
    for share in (0.2, 0.5, 0.8):
        answer, true = function(share), np.log(0.01) / np.log(1 - share**4)
        if answer is None:
            return NOT_ATTEMPTED
        if not true * 0.99 - 0.01 <= answer <= true * 1.01 + 1.01:  # rounded up is right, too
            return (
                f"at w = {share} your function gives {answer:.1f}. All k draws fail with probability (1 - w**4) ** k: "
                "set that to 0.01 and solve for k."
            )
    return None


EXERCISES = {
    "about 100 keypoints": _about_100_keypoints,
    "half-pixel mapping": _half_pixel_mapping,
    "repeatability by chance": _repeatability_by_chance,
    "mutual nearest neighbours": _mutual_nearest_neighbours,
    "draws of RANSAC": _draws_of_ransac,
}
