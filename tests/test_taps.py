"""Hidden states read off a running model: which part reads text, which modules are layers, what is refused."""

import pytest
import torch
from torch import nn
from transformers import AlbertConfig, AlbertModel, ViTConfig, ViTModel
from transformers.modeling_outputs import BaseModelOutput

import hybrid
from hybrid.backbone import taps
from hybrid.backbone.taps import layer_modules, text_body
from hybrid.errors import BackboneError
from hybrid.train.feature_cache import cached_features

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
IDS = torch.tensor([[1, 2, 3, 4]])
MASK = torch.ones(1, 4, dtype=torch.bool)


def read_states(body, layers):
    return taps.read_states(body, layer_modules(body), layers, IDS, MASK)


@pytest.fixture
def llama(new_llama):
    return new_llama(300).eval()


def test_the_body_of_a_causal_model_is_its_decoder_and_of_a_body_itself(llama):
    assert text_body(llama) is llama.model and text_body(llama.model) is llama.model


def test_the_body_of_an_encoder_decoder_is_its_encoder():
    from transformers import T5Config, T5ForConditionalGeneration

    model = T5ForConditionalGeneration(T5Config(vocab_size=30, d_model=16, d_ff=16, d_kv=4, num_layers=2, num_heads=4))
    assert text_body(model) is model.encoder and len(layer_modules(model.encoder)) == 2


def test_a_head_around_a_head_is_unwrapped():
    """Models that see hold a language model with its output matrix."""
    from transformers import MllamaForCausalLM
    from transformers.models.mllama.configuration_mllama import MllamaTextConfig

    sizes = {**SIZES, "vocab_size": 30, "num_key_value_heads": 2, "cross_attention_layers": [], "pad_token_id": 0}
    model = MllamaForCausalLM(MllamaTextConfig(**sizes))
    assert text_body(model) is model.model


def test_a_model_that_reads_no_tokens_is_refused():
    with pytest.raises(BackboneError, match="ViTModel reads no token ids; give a language model or a text encoder"):
        text_body(ViTModel(ViTConfig(**SIZES, image_size=8, patch_size=4)))


def test_layers_are_the_outer_list_in_order(llama):
    assert layer_modules(llama.model) == list(llama.model.layers)
    llama.model.extra = nn.ModuleList([nn.Linear(2, 2) for _ in range(9)])  # No layers.
    assert layer_modules(llama.model) == list(llama.model.layers)


def test_layers_that_are_run_several_times_are_read_as_transformers_does():
    torch.manual_seed(0)
    body = AlbertModel(AlbertConfig(vocab_size=30, embedding_size=16, **SIZES)).eval()
    assert layer_modules(body) == []
    with torch.no_grad():
        found = read_states(body, (0, 2, 3))
        expected = body(input_ids=IDS, output_hidden_states=True).hidden_states
    for mine, layer in zip(found, (0, 2, 3), strict=True):
        assert torch.equal(mine, expected[layer])


def test_looped_layers_are_read_the_first_time_wherever_the_pass_ends():
    from transformers.modeling_layers import GradientCheckpointingLayer

    class Layer(GradientCheckpointingLayer):
        def forward(self, hidden_states):
            return hidden_states + 1

    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([Layer(), Layer()])

        def forward(self, input_ids):
            states = input_ids[:, :, None].float()
            for layer in [*self.layers, *self.layers]:
                states = layer(states)
            return BaseModelOutput(last_hidden_state=states)

    with torch.no_grad():
        early, whole = read_states(Body(), (0, 1)), read_states(Body(), (0, 1, 2))
    assert torch.equal(early[1], whole[1]) and [int(state[0, 0, 0]) for state in whole] == [1, 2, 5]


def test_a_model_that_does_not_run_its_layers_in_sight_is_read_as_transformers_does(llama):
    with torch.no_grad():
        expected = llama.model(input_ids=IDS, output_hidden_states=True).hidden_states
        llama.model.layers, llama.model.hidden = nn.ModuleList(), llama.model.layers
        llama.model.forward = lambda input_ids, output_hidden_states=False: type(
            "Output", (), {"hidden_states": expected, "last_hidden_state": expected[-1]}
        )
        assert all(torch.equal(a, b) for a, b in zip(read_states(llama.model, (0, 1)), expected, strict=False))


def test_states_that_are_not_one_vector_a_token_are_refused(llama):
    llama.model.layers[1].register_forward_pre_hook(lambda module, args: (args[0][:, :2], *args[1:]))
    with torch.no_grad(), pytest.raises(BackboneError, match=r"states of the shapes \{1: \(1, 2, 32\)\}"):
        read_states(llama.model, (1,))


def test_states_of_two_widths_are_refused():
    """OPT may project its last state down."""
    from transformers import OPTConfig, OPTModel

    sizes = {"hidden_size": 32, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 16}
    body = text_body(OPTModel(OPTConfig(vocab_size=30, max_position_embeddings=20, **sizes)).eval())
    with torch.no_grad():
        assert read_states(body, (0, 1))[1].shape == (1, 4, 32)
        with pytest.raises(BackboneError, match=r"2: \(1, 4, 16\)"):
            read_states(body, (0, 2))


def test_states_that_overflow_are_refused_by_layer_and_precision_and_nothing_is_cached(new_llama, new_tokenizer, tmp_path):
    tokenizer = new_tokenizer()
    model = new_llama(len(tokenizer)).half()
    model.model.layers[1].mlp.down_proj.weight.data.fill_(6e4)
    reader = hybrid.Backbone(model, tokenizer, "tiny", (0, 2))
    readings = reader.prepare(["Sort: 3 1 2", "Sort: 1"], None)
    with pytest.raises(BackboneError, match=r"layer 2 of LlamaModel are not finite in float16: load .* in bfloat16 or float32"):
        cached_features(reader, readings, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert all(bool(rows.isfinite().all()) for rows in reader.reading((0, 1)).read(readings))


def test_states_that_are_not_finite_in_full_precision_are_no_matter_of_precision(new_llama, new_tokenizer):
    tokenizer = new_tokenizer()
    model = new_llama(len(tokenizer))
    model.model.layers[1].mlp.down_proj.weight.data.fill_(float("nan"))
    reader = hybrid.Backbone(model, tokenizer, "tiny", (0, 2))
    with pytest.raises(BackboneError, match="not finite in float32: its weights may be damaged, get the model anew, or read"):
        reader.read(reader.prepare(["Sort: 3 1 2"], None))
