"""The floor under a head: commonest answer and linear probe."""

import pytest
import torch

from hybrid.train.floor import floor


class Data:
    """Mean states and answers; each row has positions that differ around its mean."""

    def __init__(self, means_nkh, answers):
        self.rows = lambda indices: [means_nkh[i] + torch.tensor([[[1.0]], [[-1.0]]]) for i in indices]
        self.features, self._answers = self, answers

    def answers(self):
        return iter(self._answers)


def test_a_probe_finds_what_is_linear_and_the_commonest_answer_what_is_common():
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(600, 2, 8, generator=generator)
    answers = [("a",) if row[1, 0] - row[1, 1] > -0.6 else ("b",) for row in means]
    found = floor(Data(means[:500], answers[:500]), Data(means[500:], answers[500:]), by_layer=True)
    assert found.commonest == pytest.approx(sum(a == ("a",) for a in answers[500:]) / 100) and 0.5 < found.commonest < 0.8
    assert found.linear > 0.9 and found.by_layer[1] > 0.9 > found.by_layer[0]
    assert f"commonest answer is right in {100 * found.commonest:.1f}%" in str(found)


def test_an_answer_that_was_never_trained_is_never_right():
    means = torch.randn(40, 1, 4, generator=torch.Generator().manual_seed(0))
    train = Data(means[:30], [("a",), ("b",)] * 15)
    assert floor(train, Data(means[30:], [("c",)] * 10)).linear == 0


def test_too_few_rows_give_the_commonest_answer():
    means = torch.randn(5, 1, 4, generator=torch.Generator().manual_seed(0))
    found = floor(Data(means[:1], [("a",)]), Data(means, [("a",)] * 3 + [("b",)] * 2))
    assert (found.commonest, found.linear) == (0.6, 0.6)
