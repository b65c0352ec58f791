"""What the exercises of all parts share: where they are kept, and how answers are called, read and quoted."""

import math
from copy import deepcopy

import numpy as np

EXERCISES = {}


def exercise(name):
    """Keep the function below as the exercise `name`: it takes an answer, and returns None if right, else a hint."""

    def keep(judge):
        EXERCISES[name] = judge
        return judge

    return keep


class Hint(Exception):
    """Ends an exercise with this hint."""


class NotAttempted(Exception):
    """Ends an exercise of which the reader has not begun the answer."""


def prepared(answer):
    """The answer, ready to be judged; of a function, one that gets copies and doesn't return None.

    Raises:
        NotAttempted: the answer is None, or the function returns None the first time.
    """
    if answer is None:
        raise NotAttempted
    if not callable(answer):
        return answer
    answered = False

    def careful(*given):
        nonlocal answered
        copies = deepcopy(given)
        result = answer(*copies)
        if result is None:
            arrays = (pair for pair in zip(given, copies, strict=True) if isinstance(pair[0], np.ndarray))
            if not answered and all(np.array_equal(*pair) for pair in arrays):
                raise NotAttempted
            raise Hint("your function ends without a result: return it, in every case.")
        answered = True
        return result

    return careful


def as_array(answer):
    """The answer as floats, `(...)`: of a list, an array or a tensor, on whatever device."""
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu().numpy()
    try:
        array = np.array(answer)
        if array.dtype.kind in "USc":  # texts would be read as numbers
            raise TypeError
        return array.astype(float)
    except (TypeError, ValueError):
        raise Hint(f"real numbers are needed, not {_described(answer)}.") from None


def as_number(answer):
    """The answer as one float; an array or a list of one number counts as that number."""
    array = as_array(answer)
    if array.size != 1:
        raise Hint(f"one number is needed, not {array.size}.")
    return array.item()


def apart(given, right, digits):
    """Two texts, of the answer and of the right number, with as many digits as tell them apart, `digits` at least."""
    if math.isfinite(given):
        while f"{given:.{digits}f}" == f"{right:.{digits}f}" and digits < 15:
            digits += 1
    return f"{given:.{digits}f}", f"{right:.{digits}f}"


def _described(answer):
    return "a function" if callable(answer) else f"{type(answer).__name__} {answer!r:.40}"
