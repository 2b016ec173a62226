"""ARC: tasks of files, grids and their symmetries."""

from hybrid.eval.tasks.arc.arc import Arc as Arc
