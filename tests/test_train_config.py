"""The training config."""

import pytest

from hybrid.errors import ConfigError
from hybrid.kinds import from_dict, to_dict
from hybrid.recursion.losses import Stablemax
from hybrid.train.config import TrainConfig
from hybrid.train.optimizer import OptimizerConfig


@pytest.mark.parametrize(
    "fields",
    [
        {"num_steps": 0},
        {"batch_size": 0},
        {"eval_every_steps": 0},
        {"max_seconds": 0.0},
        {"max_seconds": float("nan")},
        {"patience": 0},
        {"ema_decay": 1.0},
        {"ema_decay": -0.1},
        {"halt_weight": -1.0},
        {"path_weight": float("nan")},
        {"save_every_seconds": -0.1},
    ],
)
def test_values_out_of_range_are_refused_by_name(fields):
    with pytest.raises(ConfigError, match=rf"train\.{next(iter(fields))}"):
        TrainConfig(**fields)


def test_a_config_comes_back_from_plain_data():
    config = TrainConfig(loss=Stablemax.Config(), optimizer=OptimizerConfig(schedule="constant"), max_seconds=5.0, patience=2)
    assert from_dict(TrainConfig, to_dict(config)) == config


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match='mixed_precision "fp4" is unknown; choose one of: no, bf16, fp16'):
        from_dict(TrainConfig, {"mixed_precision": "fp4"})
