"""Text, greedy or drawn: where it stops, how it is counted, and that a batch changes nothing."""

from dataclasses import replace

import pytest
import torch

from hybrid import Backbone
from hybrid.errors import ConfigError, InputError
from hybrid.eval.text.generation import Sampling, chat_text, cut, generate, opening, processors

TEXTS = ["Sort: 3 1 2", "red", "Sort these numbers: 9 8 7 6 5 4, ascending order"]
LONG = 24


def greedy(backbone, text, count):
    """Continue a text one token at a time, without cache and padding; return all ids written."""
    ids = backbone.tokenizer(text, add_special_tokens=False)["input_ids"]
    start = len(ids)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(backbone.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[start:]


@pytest.fixture
def never_stops(backbone, new_tokenizer, monkeypatch):
    """The tiny model with a tokenizer of its own, both without an end token."""
    monkeypatch.setattr(backbone.model.generation_config, "eos_token_id", None)
    tokenizer = new_tokenizer()
    tokenizer.eos_token = None
    return Backbone(backbone.model, tokenizer, backbone.name, backbone.layers)


@pytest.fixture
def stops_at(never_stops, monkeypatch):
    """Makes some tokens end the text."""

    def make(*tokens):
        monkeypatch.setattr(never_stops.model.generation_config, "eos_token_id", list(tokens))
        return never_stops

    return make


def test_text_is_the_likeliest_token_again_and_again(never_stops):
    written = greedy(never_stops, TEXTS[0], LONG)
    (found,) = generate(never_stops, TEXTS[:1], LONG)
    assert len(set(written)) > 3  # Else the test would say nothing.
    assert found.text == never_stops.tokenizer.decode(written, skip_special_tokens=True)
    assert found.tokens == LONG


def test_a_models_own_penalties_do_not_make_greedy_text_another(never_stops, monkeypatch):
    plain = generate(never_stops, TEXTS, LONG)
    own = never_stops.model.generation_config
    for name, value in {"repetition_penalty": 1.9, "no_repeat_ngram_size": 1, "num_beams": 3, "suppress_tokens": [5]}.items():
        monkeypatch.setattr(own, name, value)
    assert generate(never_stops, TEXTS, LONG) == plain
    assert never_stops.model.generation_config is own and own.repetition_penalty == 1.9


def test_a_batch_padded_on_the_left_writes_what_each_text_gets_alone(never_stops):
    alone = [generate(never_stops, [text], LONG)[0] for text in TEXTS]
    assert generate(never_stops, TEXTS, LONG) == alone
    assert generate(never_stops, TEXTS[::-1], LONG) == alone[::-1]
    assert len({found.prompt_tokens for found in alone}) == len(TEXTS)


def test_prompt_tokens_are_counted_without_padding_and_special_tokens(never_stops):
    ids = never_stops.tokenizer(TEXTS, add_special_tokens=False)["input_ids"]
    assert [found.prompt_tokens for found in generate(never_stops, TEXTS, 1)] == [len(row) for row in ids]


def test_text_ends_before_the_end_token_which_is_counted(never_stops, stops_at):
    written = greedy(never_stops, TEXTS[0], LONG)
    place = next(i for i in range(2, LONG) if written[i] not in written[:i])
    (found,) = generate(stops_at(written[place]), TEXTS[:1], LONG)
    assert found.tokens == place + 1
    assert found.text == never_stops.tokenizer.decode(written[:place], skip_special_tokens=True)


def test_rows_of_a_batch_end_each_at_its_own_place(never_stops, stops_at):
    written = [greedy(never_stops, text, LONG) for text in TEXTS]
    places = [next(i for i in range(start, LONG) if row[i] not in row[:i]) for start, row in zip((1, 4, 2), written, strict=True)]
    stopping = stops_at(*{row[place] for row, place in zip(written, places, strict=True)})
    alone = [generate(stopping, [text], LONG)[0] for text in TEXTS]
    assert generate(stopping, TEXTS, LONG) == alone
    for found, row in zip(alone, written, strict=True):
        end = next(i for i, token in enumerate(row) if token in stopping.model.generation_config.eos_token_id)
        assert found.tokens == end + 1


def test_the_tokenizers_own_end_token_stops_too(never_stops):
    written = greedy(never_stops, TEXTS[0], LONG)
    place = next(i for i in range(2, LONG) if written[i] not in written[:i])
    never_stops.tokenizer.eos_token = never_stops.tokenizer.convert_ids_to_tokens(written[place])
    assert generate(never_stops, TEXTS[:1], LONG)[0].tokens == place + 1


def test_a_tokenizer_without_a_padding_token_serves(never_stops):
    alone = [generate(never_stops, [text], LONG)[0] for text in TEXTS]
    never_stops.tokenizer.pad_token = None
    assert generate(never_stops, TEXTS, LONG) == alone


def test_what_exceeds_the_context_is_refused_with_the_counts(backbone):
    limit = backbone.context_length
    (row,) = backbone.tokenizer([TEXTS[2]], add_special_tokens=False)["input_ids"]
    assert len(generate(backbone, [TEXTS[2]], 1)) == 1
    with pytest.raises(InputError, match=rf"{len(row)} prompt tokens and {limit} new ones exceed the context of {limit}"):
        generate(backbone, TEXTS, limit)
    with pytest.raises(InputError, match="exceed the context"):
        generate(backbone, ["1 " * limit], 1)


def test_text_that_just_fits_the_context_is_written(never_stops):
    (row,) = never_stops.tokenizer([TEXTS[0]], add_special_tokens=False)["input_ids"]
    rest = never_stops.context_length - len(row)
    assert generate(never_stops, TEXTS[:1], rest)[0].tokens == rest
    with pytest.raises(InputError):
        generate(never_stops, TEXTS[:1], rest + 1)


def test_generation_leaves_the_weights_frozen_and_as_they_were(backbone):
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    generate(backbone, TEXTS, 4)
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.model.state_dict().items())
    assert not any(p.requires_grad for p in backbone.model.parameters())


TURNS = [
    {"role": "user", "content": "Sort: 2 1"},
    {"role": "assistant", "content": "1 2"},
    {"role": "user", "content": "Sort: 4 3"},
]


def test_without_a_chat_template_turns_are_paragraphs(backbone):
    assert chat_text(backbone, TURNS) == "Sort: 2 1\n\n1 2\n\nSort: 4 3\n\n"


def test_a_chat_template_is_used_and_opens_the_assistants_turn(backbone, new_tokenizer):
    tokenizer = new_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    own = Backbone(backbone.model, tokenizer, backbone.name, backbone.layers)
    assert chat_text(own, TURNS) == "<user>Sort: 2 1<assistant>1 2<user>Sort: 4 3<assistant>"
    assert generate(own, [chat_text(own, TURNS)], 3)[0].tokens <= 3


def test_each_row_ends_at_its_own_line_break_and_counts_its_own_tokens(never_stops, monkeypatch):
    written = [greedy(never_stops, text, LONG) for text in TEXTS]
    place = [next(i for i in range(start, LONG) if row[i] not in row[:i]) for start, row in zip((2, 5, 3), written, strict=True)]
    breaks = {row[i] for row, i in zip(written, place, strict=True)}
    decode = type(never_stops.tokenizer).decode

    def with_breaks(self, ids, **options):
        return "".join("\n" if i in breaks else decode(self, [i], **options) for i in ids)

    monkeypatch.setattr(type(never_stops.tokenizer), "decode", with_breaks)
    found = generate(never_stops, TEXTS, LONG, ends=[lambda text: text.count("\n") >= 1] * 3)
    assert found == [generate(never_stops, [text], LONG, ends=[lambda text: text.count("\n") >= 1])[0] for text in TEXTS]
    for out, row in zip(found, written, strict=True):
        end = next(i for i, token in enumerate(row) if token in breaks)
        assert out.tokens == end + 1 and out.text.endswith("\n") and out.text.count("\n") == 1
    never = generate(never_stops, TEXTS, LONG, ends=[lambda text: False] * 3)
    assert all(out.tokens == LONG for out in never)


def test_drawn_text_is_the_same_in_every_batch_and_another_with_another_seed_or_number(never_stops):
    drawn = Sampling(temperature=1.5, top_p=0.9, seed=3)
    together = generate(never_stops, TEXTS, LONG, sampling=drawn)
    assert together == [generate(never_stops, [text], LONG, sampling=drawn)[0] for text in TEXTS]
    others = [generate(never_stops, TEXTS, LONG, sampling=replace(drawn, **{name: 4})) for name in ("seed", "sample")]
    assert together != generate(never_stops, TEXTS, LONG) and together not in others and others[0] != others[1]


def test_draws_leave_the_global_generator_alone(never_stops):
    before = torch.get_rng_state()
    generate(never_stops, TEXTS[:1], 4, sampling=Sampling(temperature=1.0))
    assert torch.equal(before, torch.get_rng_state())


def test_tokens_are_drawn_with_their_probabilities_from_the_likeliest_ones():
    count, shares = 4000, torch.tensor([0.5, 0.3, 0.15, 0.05])
    texts, scores = [str(i) for i in range(count)], 2 * shares.log().expand(count, 4)

    def drawn(top_p):
        noisy = processors(texts, Sampling(temperature=2.0, top_p=top_p), torch.device("cpu"))(torch.zeros(count, 1), scores)
        return noisy.argmax(1).bincount(minlength=4) / count

    assert (drawn(1.0) - shares).abs().max() < 4 * 0.5 / count**0.5
    among = drawn(0.7)
    assert among[2:].sum() == 0 and abs(among[0] - 0.5 / 0.8) < 4 * 0.5 / count**0.5


@pytest.mark.parametrize(
    ("values", "message"), [((-1.0,), "temperature is -1"), ((0.0, 0.0), "top_p is 0"), ((1.0, 1.5), "top_p is 1.5")]
)
def test_sampling_out_of_range_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Sampling(*values)


def test_a_text_is_cut_at_the_first_line_that_completes_it():
    assert cut("a\nb\nc\n", lambda text: "b" in text) == "a\nb\n"
    assert cut("a\nb", lambda text: "b" in text) == "a\nb" and cut("a\nb\n", None) == "a\nb\n"


def test_a_text_without_end_is_not_looked_through():
    looks = []
    assert len(cut("\n" * 50_000, looks.append)) == 50_000 and len(looks) <= 1000
    assert len(cut("\n" * 200_000, looks.append)) == 200_000 and len(looks) <= 1000


def test_a_text_without_a_template_begins_as_the_tokenizer_begins_every_text(backbone, new_tokenizer):
    from tokenizers.processors import TemplateProcessing

    assert opening(backbone.tokenizer) == "" == opening(None)
    tokenizer = new_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    first = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("<s> $A", special_tokens=[("<s>", first)])
    own = replace(backbone, tokenizer=tokenizer)
    text = chat_text(own, [{"role": "user", "content": "Sort: 3 1 2"}])
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == tokenizer("Sort: 3 1 2\n\n")["input_ids"]
