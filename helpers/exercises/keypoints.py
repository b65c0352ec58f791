"""The exercises of part 1, keypoint detection basics."""

import numpy as np

from helpers.exercises.answers import as_number, exercise


@exercise("about 100 keypoints")
def about_100_keypoints(answer):
    count = as_number(answer)
    if count > 110:
        return f"{count:g} points are left: raise the threshold."
    if not count >= 90:  # NaN, too
        return f"{count:g} points are left: lower the threshold."
    return None


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
