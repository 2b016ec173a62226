"""One path for every family: a tiny random model of each is read, trained on, saved, and answers the same after a reload."""

from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid.backbone import Backbone, BackboneConfig
from hybrid.eval.bench.benchmark import forward_seconds
from hybrid.model import HybridModel
from hybrid.train import TrainConfig, train

PROMPTS = ["Sort: 3 1 2", "Sort: 9 8 7 6 5 4 3", "Sort: 4 4"]
SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 160,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MLP = {"intermediate_size": 64, "num_key_value_heads": 2}
GEMMA = {**MLP, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8}
MOE = {**MLP, "head_dim": 8, "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
T5 = {"d_kv": 8, "d_ff": 64, "num_decoder_layers": 2}
BART = {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "decoder_layers": 2, "decoder_attention_heads": 4}
IMAGE = {"image_size": 28, "patch_size": 14, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
SEEING = {"vision_config": {**IMAGE, "num_hidden_layers": 3}, "mm_tokens_per_image": 4, "image_token_index": 299}

FAMILIES = {
    # The class of the model, and what its config needs besides the sizes.
    "Llama": ("LlamaForCausalLM", MLP),
    "Qwen2": ("Qwen2ForCausalLM", MLP),
    "Qwen3": ("Qwen3ForCausalLM", {**MLP, "head_dim": 8}),
    "Mistral": ("MistralForCausalLM", {**MLP, "head_dim": 8, "sliding_window": 6}),
    "Mixtral": ("MixtralForCausalLM", MOE),
    "Gemma 2": ("Gemma2ForCausalLM", GEMMA),
    "Gemma 3": ("Gemma3ForCausalLM", GEMMA),
    "Gemma 3 with images": ("Gemma3ForConditionalGeneration", {"text_config": {**SIZES, **GEMMA}, **SEEING}),
    "GPT-2": ("GPT2LMHeadModel", {}),
    "GPT-NeoX": ("GPTNeoXForCausalLM", {"intermediate_size": 64}),
    "OPT": ("OPTForCausalLM", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    "Phi-3": ("Phi3ForCausalLM", MLP),
    "Falcon": ("FalconForCausalLM", {}),
    "BLOOM": ("BloomForCausalLM", {}),
    "Mamba": ("MambaForCausalLM", {"state_size": 8}),
    "Mamba 2": ("Mamba2ForCausalLM", {"num_heads": 8, "head_dim": 8, "n_groups": 1, "state_size": 8}),
    "T5": ("T5ForConditionalGeneration", T5),
    "BERT": ("BertForMaskedLM", {"intermediate_size": 64}),
    # Others, of other kinds.
    "GPT-J": ("GPTJForCausalLM", {"rotary_dim": 4}),
    "CodeGen": ("CodeGenForCausalLM", {"rotary_dim": 4}),
    "GPT-Neo": ("GPTNeoForCausalLM", {"attention_types": [[["global"], 3]]}),
    "XGLM": ("XGLMForCausalLM", {"ffn_dim": 64}),
    "StableLM": ("StableLmForCausalLM", MLP),
    "Cohere": ("CohereForCausalLM", MLP),
    "OLMo 2": ("Olmo2ForCausalLM", MLP),
    "Granite": ("GraniteForCausalLM", MLP),
    "Starcoder 2": ("Starcoder2ForCausalLM", MLP),
    "Qwen3-MoE": ("Qwen3MoeForCausalLM", MOE),
    "MPT": ("MptForCausalLM", {"max_seq_len": 160}),
    "Jamba": ("JambaForCausalLM", {**MOE, "attn_layer_offset": 1, "attn_layer_period": 2, "use_mamba_kernels": False}),
    "RecurrentGemma": ("RecurrentGemmaForCausalLM", {"intermediate_size": 64, "num_key_value_heads": 1, "lru_width": 32}),
    "RWKV": ("RwkvForCausalLM", {"context_length": 160}),
    "BART": ("BartForConditionalGeneration", BART),
    "BART's decoder": ("BartForCausalLM", {**BART, "encoder_layers": 2, "decoder_layers": 3}),
    "PEGASUS": ("PegasusForConditionalGeneration", BART),
    "mT5": ("MT5ForConditionalGeneration", T5),
    "RoBERTa": ("RobertaForMaskedLM", {"intermediate_size": 64, "pad_token_id": 1}),
    "DistilBERT": ("DistilBertForMaskedLM", {"hidden_dim": 64}),
    "DeBERTa": ("DebertaV2ForMaskedLM", {"intermediate_size": 64}),
    "ELECTRA": ("ElectraForMaskedLM", {"intermediate_size": 64, "embedding_size": 16}),
    "ModernBERT": ("ModernBertForMaskedLM", {"intermediate_size": 64}),
    "ALBERT": ("AlbertForMaskedLM", {"intermediate_size": 64, "embedding_size": 16}),
    "XLNet": ("XLNetLMHeadModel", {"d_inner": 64, "max_position_embeddings": None}),
    "XLM": ("XLMWithLMHeadModel", {}),
    "BERT without a head": ("BertModel", {"intermediate_size": 64}),
    "Longformer": ("LongformerForMaskedLM", {"intermediate_size": 64, "attention_window": 8}),
}
NAMED = list(FAMILIES)[:18]
STARTS_BEHIND = ("Mamba", "Mamba 2", "RWKV")
"""transformers leaves the embedding layer out of these models' hidden states."""


def make(family):
    """Return a tiny random model of a family."""
    import transformers

    name, more = FAMILIES[family]
    kind = getattr(transformers, name)
    config = kind.config_class
    names = getattr(config, "attribute_map", {})
    sizes = {} if "text_config" in more else SIZES
    torch.manual_seed(0)
    return kind(config(**{names.get(key, key): value for key, value in {**sizes, **more}.items() if value is not None}))


@pytest.fixture(scope="module")
def read(new_tokenizer):
    """Makes a backbone around a tiny model of a family."""

    def read(family, layers=()):
        return Backbone(make(family), new_tokenizer(), family, layers)

    return read


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_is_transformers_own_hidden_state(read, family):
    backbone = read(family, tuple(range(4)))
    (tokens,) = backbone.encode(PROMPTS[:1])
    ids = torch.tensor([tokens.ids])
    backbone.body.config.use_cache = False
    with torch.no_grad():
        theirs = backbone.body(input_ids=ids, output_hidden_states=True).hidden_states
        mine, _ = backbone.hidden_states([tokens.ids])
    assert mine.shape == (1, ids.shape[1], 4, 32) and backbone.num_layers == 3 and backbone.hidden_size == 32
    if family in STARTS_BEHIND:
        theirs = (mine[:, :, 0], *theirs[:2], theirs[3])
    for layer in range(4):
        torch.testing.assert_close(mine[:, :, layer], theirs[layer], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_states_do_not_depend_on_the_batch_or_the_side_of_padding(read, family):
    backbone = read(family, tuple(range(4)))
    rows = [tokens.ids for tokens in backbone.encode(PROMPTS)]
    with torch.no_grad():
        alone = [backbone.hidden_states([ids])[0][0] for ids in rows]
        for side in ("left", "right"):
            states, mask = backbone.hidden_states(rows, padding_side=side)
            for row, kept, expected in zip(states, mask, alone, strict=True):
                torch.testing.assert_close(row[kept], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_attached_trained_saved_and_loaded_it_gives_the_same_bits(family, config, problems, new_tokenizer, tmp_path):
    tokenizer = new_tokenizer()
    tokenizer.save_pretrained(tmp_path / "backbone")
    make(family).save_pretrained(tmp_path / "backbone")
    name = str(tmp_path / "backbone")
    model = hybrid.attach(None, replace(config, backbone=BackboneConfig(name=name, layers=(0, 2))))
    before = {key: value.clone() for key, value in model.head.state_dict().items()}
    settings = TrainConfig(num_steps=1, batch_size=2, eval_every_steps=1)
    train(model, problems(4), problems(2, seed=1), settings, tmp_path / "run", show=False)
    assert any(not torch.equal(value, before[key]) for key, value in model.head.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in model.backbone.model.parameters())
    assert [len(solution.symbols) for solution in model.solve(PROMPTS)] == [3, 7, 2]
    model.save_pretrained(tmp_path / "head")
    again = HybridModel.from_pretrained(tmp_path / "head")
    assert torch.equal(again.logits(PROMPTS), model.logits(PROMPTS))
    assert type(again.backbone.model) is type(make(family))


@pytest.mark.parametrize(("family", "limit"), [("GPT-2", 160), ("RoBERTa", 158), ("T5", None), ("BLOOM", None), ("Mamba", None)])
def test_the_context_is_what_the_models_positions_hold(read, family, limit):
    backbone = read(family)
    assert backbone.context_length == limit
    with torch.no_grad():  # As many positions as that can be read.
        backbone.hidden_states([[5] * (limit or 200)])


@pytest.mark.parametrize("family", ["Llama", "T5", "BERT", "Mamba"])
def test_a_forward_pass_can_be_timed(read, problems, family):
    seconds = forward_seconds(read(family), problems(2))
    assert len(seconds) == 2 and min(seconds) > 0


def test_the_families_that_are_promised_are_among_them():
    assert len(NAMED) >= 14 and NAMED[0] == "Llama" and NAMED[-1] == "BERT"
