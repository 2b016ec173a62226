"""Training of heads: features cached on disk, supervision steps, checkpoints that resume. Run by Accelerate."""

from hybrid.train.calibration import calibrate as calibrate
from hybrid.train.config import TrainConfig as TrainConfig
from hybrid.train.trainer import Outcome as Outcome
from hybrid.train.trainer import train as train

if __name__ != "hybrid.train":
    raise ImportError("import hybrid.train, not " + __name__)
