"""Shortest paths in mazes."""

from hybrid.eval.tasks.maze.maze import Maze as Maze
