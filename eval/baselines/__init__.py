"""Methods that answer a task's problems: the hybrid, and what it is compared with."""

from hybrid.eval.baselines.coconut import Coconut as Coconut
from hybrid.eval.baselines.head import HeadMethod as HeadMethod
from hybrid.eval.baselines.method import METHODS as METHODS
from hybrid.eval.baselines.method import Attempt as Attempt
from hybrid.eval.baselines.method import Budget as Budget
from hybrid.eval.baselines.method import Method as Method
from hybrid.eval.baselines.pause import Pause as Pause
from hybrid.eval.baselines.prompting import Prompting as Prompting
from hybrid.eval.baselines.self_consistency import SelfConsistency as SelfConsistency
from hybrid.eval.baselines.solver import Solver as Solver
from hybrid.eval.baselines.thoughts import LatentThoughts as LatentThoughts
from hybrid.eval.baselines.trained import Trained as Trained
from hybrid.eval.baselines.tuned import LoraCoT as LoraCoT
from hybrid.eval.baselines.tuned import LoraDirect as LoraDirect
