"""Multi-hop logic in the form of ProsQA."""

from hybrid.eval.tasks.logic.logic import Logic as Logic
