"""What a run takes where nothing is said."""

import hybrid
from hybrid.adapters import Words
from hybrid.problem import Problem
from hybrid.train import TrainConfig
from hybrid.train.recipe import fill, plain_language


def test_the_recipe_has_room_for_the_prompts_and_says_why():
    recipe = plain_language([Problem("word " * 800, ("yes",))], 3)
    assert recipe.encoder == Words.Config(max_answers=3, max_words=1200)
    assert recipe.reasoner.block.max_positions == 1203 and "longest prompt: 800 words" in recipe.reasons[0]
    config = hybrid.HybridConfig(hybrid.LayoutConfig(num_answers=3), ("a", "b"), encoder=recipe.encoder, reasoner=recipe.reasoner)
    assert config.reasoner.block.word_heads == 1


def test_what_was_said_stays_and_the_rest_is_filled():
    recipe = plain_language([Problem("a", ("yes",))], 1)
    own = fill(TrainConfig(num_steps=7, seed=5), recipe.train)
    assert (own.num_steps, own.seed, own.batch_size, own.curriculum) == (7, 5, 32, True)
