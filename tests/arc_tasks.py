"""Makes files of easy tasks in ARC's form, for tests."""

import json
import random


def recolouring(count, seed=0, *, size=3, tests=1):
    """Return tasks by name: whatever is not black gets one colour, another in each task."""
    rng = random.Random(seed)

    def pair(new):
        high, wide, old = rng.randint(1, size), rng.randint(2, size), rng.randint(1, 9)
        cells = [[rng.choice([0, old]) for _ in range(wide)] for _ in range(high)]
        cells[0][0] = old
        return {"input": cells, "output": [[new if cell else 0 for cell in row] for row in cells]}

    def task():
        new = rng.randint(1, 9)
        return {"train": [pair(new), pair(new)], "test": [pair(new) for _ in range(tests)]}

    return {f"task{number}": task() for number in range(count)}


def write_kaggle(folder, tasks, name="arc"):
    """Write Kaggle's two files and return the path of the challenges."""
    challenges = {
        key: {"train": task["train"], "test": [{"input": each["input"]} for each in task["test"]]} for key, task in tasks.items()
    }
    (folder / f"{name}_challenges.json").write_text(json.dumps(challenges))
    (folder / f"{name}_solutions.json").write_text(
        json.dumps({key: [each["output"] for each in task["test"]] for key, task in tasks.items()})
    )
    return folder / f"{name}_challenges.json"
