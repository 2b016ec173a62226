"""Methods that answer a task's problems: the hybrid, and what it is compared with."""

from hybrid.eval.baselines.head import HeadMethod as HeadMethod
from hybrid.eval.baselines.method import METHODS as METHODS
from hybrid.eval.baselines.method import Attempt as Attempt
from hybrid.eval.baselines.method import Budget as Budget
from hybrid.eval.baselines.method import Method as Method
from hybrid.eval.baselines.prompting import Prompting as Prompting
from hybrid.eval.baselines.solver import Solver as Solver
