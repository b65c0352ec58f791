"""The exercises of part 1, keypoint detection basics."""

import numpy as np

from helpers.exercises.answers import as_array, as_number, exercise
from helpers.keypoints import mutual_matches


@exercise("about 100 keypoints")
def about_100_keypoints(answer):
    count = as_number(answer)
    if count > 110:
        return f"{count:g} points are left: raise the threshold."
    if not count >= 90:  # NaN, too
        return f"{count:g} points are left: lower the threshold."
    return None


@exercise("half-pixel mapping")
def half_pixel_mapping(answer):
    relative = as_number(answer)
    if np.isclose(relative, (1000.5 * 640 / 4000 - 0.5) / 640, rtol=0, atol=6e-5):  # four digits do
        return None
    if np.isclose(relative, 0.25):
        return "0.25 is what you get without the half pixels: 1000 is the centre of a pixel that begins at 999.5."
    return "go to network pixels first, half a pixel in before scaling and half a pixel out after, then divide by 640."


@exercise("repeatability by chance")
def repeatability_by_chance(answer):
    share, all_miss = as_number(answer), (1 - np.pi * 9 / (320 * 240)) ** 300
    if not 0 <= share <= 1:
        return "a chance lies between 0 and 1."
    if np.isclose(share, all_miss, atol=0.005):
        return "that is the chance that all 300 miss; you want the opposite."
    if np.isclose(share, 1 - all_miss, atol=0.012):
        return None
    return "the disc has radius 3, so its area is pi * 9; all 300 points must miss it."


@exercise("mutual nearest neighbours")
def mutual_nearest_neighbours(function):
    rng = np.random.default_rng(0)
    for rows1, rows2 in ((60, 60), (40, 90), (90, 40)):
        first, second = rng.normal(size=(rows1, 16)), rng.normal(size=(rows2, 16))
        second[:20] = first[:20] + rng.normal(0, 0.2, (20, 16))
        first, second = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (first, second))
        true = set(map(tuple, mutual_matches(first, second).tolist()))
        answer = as_array(function(first, second))
        if answer.ndim != 2 or answer.shape[1] != 2:
            return f"the result must have shape (K, 2), not {answer.shape}."
        mine = set(map(tuple, answer.tolist()))
        if mine == {(j, i) for i, j in true} != true:
            return "the columns are swapped: first the row in descriptors1, then the row in descriptors2."
        if mine > true:
            return f"{len(mine - true)} of your pairs are not mutual: ask the second photograph as well."
        if mine != true:
            return f"{len(true - mine)} mutual pairs are missing, {len(mine - true)} are not mutual."
        if len(answer) > len(mine):
            return f"{len(answer) - len(mine)} of your pairs stand there more than once."
    return None


@exercise("draws of RANSAC")
def draws_of_ransac(function):
    for share in (0.2, 0.5, 0.8):
        true, answer = np.log(0.01) / np.log(1 - share**4), as_number(function(share))
        if true * 0.99 - 0.01 <= answer <= true * 1.01 + 1.01:  # rounded up is right, too
            continue
        if answer == np.floor(true):
            return f"at w = {share} your function gives {answer:.0f}, and {true:.1f} are needed: round up."
        return (
            f"at w = {share} your function gives {answer:.1f}. All k draws fail with probability (1 - w**4) ** k: "
            "set that to 0.01 and solve for k."
        )
    return None
