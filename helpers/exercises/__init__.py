"""Instant feedback on the notebooks' exercises: `check("name of the exercise", answer)`.

The exercises stand in a module per part of the course, which is imported with the first exercise that needs it.
"""

from importlib import import_module

from helpers.exercises.answers import EXERCISES, Hint, NotAttempted, prepared

PARTS = ("keypoints", "poses", "faces", "bodies", "further")


def check(name, answer):
    """Print whether `answer` solves the exercise `name`: not attempted yet, right, or a hint.

    A value of None counts as not attempted, and so does a function that returns None. Functions get copies of what
    they are given. Answers are compared with tolerance, and may be numbers, lists, arrays or tensors of any type.

    Raises:
        ValueError: there is no exercise of that name.
    """
    for part in PARTS:
        if name not in EXERCISES:
            import_module(f"helpers.exercises.{part}")
    if name not in EXERCISES:
        raise ValueError(f"There is no exercise {name!r}; there are: {', '.join(EXERCISES)}.")
    try:
        hint = EXERCISES[name](prepared(answer))
    except NotAttempted:
        print(f"{name}: not attempted yet.")
        return
    except Hint as found:
        hint = found
    except Exception as error:
        hint = f"your answer raises {type(error).__name__}: {error}"
    print(f"{name}: {'right.' if hint is None else f'not yet. Hint: {hint}'}")
