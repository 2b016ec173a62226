"""The tasks: Sudoku, ARC, sorting, state tracking, reasoning-gym, GSM8K and a table of one's own, each in a file of its own.

Holds the registry with all its members; a new task is a new file, one decorator and one line here.
"""

from hybrid.eval.tasks.arc import Arc as Arc
from hybrid.eval.tasks.arithmetic import Arithmetic as Arithmetic
from hybrid.eval.tasks.gsm8k import GSM8K as GSM8K
from hybrid.eval.tasks.gym import Gym as Gym
from hybrid.eval.tasks.logic import Logic as Logic
from hybrid.eval.tasks.maze import Maze as Maze
from hybrid.eval.tasks.reachability import Reachability as Reachability
from hybrid.eval.tasks.sort import Sort as Sort
from hybrid.eval.tasks.state_tracking import StateTracking as StateTracking
from hybrid.eval.tasks.sudoku import Sudoku as Sudoku
from hybrid.eval.tasks.table import Table as Table
from hybrid.eval.tasks.task import TASKS as TASKS
from hybrid.eval.tasks.task import Split as Split
from hybrid.eval.tasks.task import Task as Task
from hybrid.eval.tasks.task import Wording as Wording
