"""Which characters a token stands for: as fast tokenizers say it, and found by decoding where a tokenizer does not."""

import json
import random
import warnings

import pytest

from hybrid.backbone.offsets import Aligner, Encoded, encode, tokens_of_spans
from hybrid.errors import InputError

TEXTS = [
    "Sort: 3 1 2",
    " Sort  3   1\t2\n\n4 ",
    "🙂é Zoë 7",
    "日本 👩‍👩‍👧 7 7",
    "x🙂🙂y ☺ 7",
    "tab\there\nline  \n  two",
    "0 0\u00a00\u20030 1",
    "a\u200bb \ufeff7",
    "e\u0301é ﬁne ½ ３ 3",
    "한국 각 ǅ 7",
    "\N{REPLACEMENT CHARACTER} 7 \N{REPLACEMENT CHARACTER}",
]


WORDS = ["sort", "zoe", "##t", "a", "##b", "line", "two", ":", "7", "3", "1", "2", "0", "日", "tab"]


def pieces(tokenizer, text):
    """Return the text of each token's range; None where there are no offsets."""
    (encoded,) = encode(tokenizer, [text])
    return None if encoded.offsets is None else [text[start:end] for start, end in encoded.offsets]


def solid(offsets, text):
    """Return ranges without the blanks at their ends, which tokenizers count differently; empty ones are alike."""
    trimmed = []
    for start, end in offsets:
        inside = [i for i in range(start, end) if not text[i].isspace()]
        trimmed.append((inside[0], inside[-1] + 1) if inside else (0, 0))
    return trimmed


class _Slow:
    """A fast tokenizer that hides that it is one."""

    is_fast = False

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def __call__(self, texts, **options):
        assert "return_offsets_mapping" not in options
        return self._tokenizer(texts, **options)


@pytest.mark.parametrize("text", TEXTS[:-1])  # The last one's marks look like parts of a character.
def test_decoding_finds_what_the_fast_byte_level_tokenizer_says(new_tokenizer, text):
    fast = new_tokenizer()
    (expected,), (found,) = encode(fast, [text]), encode(_Slow(fast), [text])
    assert found.ids == expected.ids and solid(found.offsets, text) == solid(expected.offsets, text)


def test_decoding_finds_it_on_random_text_too(new_tokenizer):
    fast, draw = new_tokenizer(), random.Random(0)
    alphabet = "ab S7 3\t\n  éß🙂日本👩\u200d½ﬁ\u0301ortnumbers"
    texts = ["".join(draw.choice(alphabet) for _ in range(draw.randrange(1, 40))) + "x" for _ in range(150)]
    for text, expected, found in zip(texts, encode(fast, texts), encode(_Slow(fast), texts), strict=True):
        assert solid(found.offsets, text) == solid(expected.offsets, text), repr(text)


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_finds_what_a_fast_tokenizer_says_of_sentencepiece_pieces(new_sentencepiece, text):
    """The same pieces and scores, read by two libraries."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    rules = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    slow = new_sentencepiece(vocab_size=330, model_type="unigram", byte_fallback=True, **rules)
    model = slow.sp_model
    scores = [(model.id_to_piece(i), model.get_score(i)) for i in range(len(model))]
    backend = Tokenizer(models.Unigram(scores, unk_id=model.unk_id(), byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.ByteFallback()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    (expected,), (found,) = encode(fast, [text]), encode(slow, [text])
    if text[0] == " ":
        return  # The one adds its blank to a blank, the other does not.
    assert found.ids == expected.ids
    for mine, theirs in zip(found.offsets, expected.offsets, strict=True):
        if mine == (0, 0):
            continue  # A blank.
        # It gives a run of characters that are bytes as a whole, and its own blank in front a character.
        assert theirs[0] <= mine[0] and mine[1] <= theirs[1]
        assert mine == theirs or mine[1] - mine[0] <= 1 or text[theirs[0]].isspace()
    assert {i for span in found.offsets for i in range(*span)} >= {i for i, c in enumerate(text) if not c.isspace()}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_without_normalisation_cover_every_letter_in_order(new_sentencepiece, text, kind):
    rules = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    tokenizer = new_sentencepiece(vocab_size=330, model_type=kind, byte_fallback=True, **rules)
    (encoded,) = encode(tokenizer, [text])
    places = [place for start, end in encoded.offsets for place in range(start, end)]
    assert places == sorted(places)  # Bytes of one character share it.
    assert set(places) >= {i for i, c in enumerate(text) if not c.isspace()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Sort  3   1\t2\n\n4 ", ["S", "or", "t", "3", "1", "2", "4"]),
        ("½ ３", ["½", "½", "½", "３"]),
        ("x🙂🙂y ☺ 7", ["x", "🙂🙂", "y", "☺", "7"]),
        ("  ☺ ☻ ☹ 1", ["☺", "☻", "☹", "1"]),
        ("<unk> 1 <s> 5", ["<unk>", "1", "<s>", "5"]),
    ],
)
def test_changed_collapsed_and_unknown_text_is_aligned(new_sentencepiece, text, expected):
    """sentencepiece's own rules: compatibility forms, no runs of blanks, a blank in front, and no bytes."""
    found = pieces(new_sentencepiece(vocab_size=70, model_type="unigram"), text)
    assert [piece for piece in found if piece] == expected


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory):
    """A tokenizer in Python that lowers, strips accents and adds special tokens."""
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    file = tmp_path_factory.mktemp("words") / "vocab.txt"
    file.write_text("\n".join(words), encoding="utf-8")
    return BertTokenizerLegacy(str(file), do_lower_case=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SORT:  3\t1", ["", "SORT", ":", "3", "1", ""]),
        ("Zoë a\u0301b 日未知 7", ["", "Zoë", "a", "b", "日", "未", "知", "7", ""]),
        ("🙂é tab\there\nline", ["", "🙂é", "tab", "here", "line", ""]),
        ("[UNK] 7 [SEP] ☺", ["", "[UNK]", "7", "[SEP]", "☺", ""]),
    ],
)
def test_words_and_special_tokens_are_aligned(wordpiece, text, expected):
    assert [piece.strip() for piece in pieces(wordpiece, text)] == expected


def test_what_could_stand_in_two_places_gets_no_offsets_and_says_so_when_a_span_is_asked_for(wordpiece):
    (unsure,) = encode(wordpiece, ["☺☻ 7q ☹ 7 7q☹ ☺☻"])
    assert unsure.offsets is None and len(unsure.ids) > 5
    with pytest.raises(InputError, match="gives no character offsets .*; give the model's fast tokenizer, or choose an encoder"):
        tokens_of_spans(unsure, [(0, 1)])


def test_an_unknown_word_that_holds_a_known_one_is_not_mistaken_for_it(wordpiece):
    """Three sevens could be the one token; to take the first would be a guess."""
    (encoded,) = encode(wordpiece, ["q7 7 7q"])
    assert wordpiece.convert_ids_to_tokens(encoded.ids)[1:-1] == ["[UNK]", "7", "[UNK]"] and encoded.offsets is None


@pytest.mark.parametrize("text", TEXTS[:6])
def test_tokens_that_are_bytes_share_their_character(text):
    from transformers import ByT5Tokenizer

    found = pieces(ByT5Tokenizer(), text)
    assert found == [c.strip() for c in text for _ in c.encode()] + [""]


def test_joined_words_are_aligned(tmp_path):
    """CTRL joins with "@@", at the end of a piece."""
    from transformers import CTRLTokenizer

    vocabulary = ["<unk>", "S@@", "o@@", "r@@", "t@@", ":", "3", "1", "2"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
    (tmp_path / "merges.txt").write_text("#version\na b\n")
    tokenizer = CTRLTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    assert [piece.strip() for piece in pieces(tokenizer, "Sort: 3 1 2")] == ["S", "o", "r", "t", ":", "3", "1", "2"]


def test_spans_get_the_tokens_that_share_a_character():
    encoded = Encoded([1, 2, 3], [(0, 4), (4, 9), (9, 10)])
    assert tokens_of_spans(encoded, [(1, 2), (3, 5)]) == [(0, 1), (0, 2)]
    with pytest.raises(InputError, match="no token of the prompt touches its characters 20 to 21"):
        tokens_of_spans(encoded, [(20, 21)])


LEARNED = "Sort the naïve cafés of Zoë, straße 3 1 2 7"


def byte_level(*, prefix, trim, normalizer=None, added=(), text=LEARNED):
    """Return fast byte-level BPE with one merge a word, and added tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=prefix, trim_offsets=trim)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, initial_alphabet=sorted(alphabet), special_tokens=["<eos>"], show_progress=False
    )
    tokenizer.train_from_iterator([text] * 5, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    fast.add_tokens(list(added))
    return fast


def metaspace(*, scheme, added=()):
    """Return fast BPE that writes a blank in front, with bytes for what it does not know."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    blanks = decoders.Replace("\N{LOWER ONE EIGHTH BLOCK}", " ")
    tokenizer.decoder = decoders.Sequence([blanks, decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<eos>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(["Sort the naïve cafés of Zoë, straße 3 1 2 7"] * 5, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    fast.add_tokens(list(added))
    return fast


def added(**rules):
    from tokenizers import AddedToken

    return [AddedToken("<x>", **rules)]


WIDE = [{}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True}, {"special": True}]


@pytest.mark.parametrize("rules", WIDE)
@pytest.mark.parametrize("trim", [True, False])
@pytest.mark.parametrize("prefix", [True, False])
def test_words_behind_added_tokens_get_their_own_tokens(prefix, trim, rules):
    """tokenizers issue 1300: with add_prefix_space and trimmed offsets, what stands behind an added token begins too late."""
    tokenizer, text = byte_level(prefix=prefix, trim=trim, added=added(**rules)), "Zoë <x>naïve<x>7 3<x> 12"
    ids, offsets = (lambda found: (found.ids, found.offsets))(encode(tokenizer, [text])[0])
    for word in ("Zoë", "naïve", "7", "3", "1", "2"):
        begin = text.index(word)
        ((start, end),) = tokens_of_spans(Encoded(ids, offsets), [(begin, begin + len(word))])
        assert tokenizer.decode(ids[start:end]).strip() in (word, "12"), word


def normalizers_of(name):
    from tokenizers import normalizers

    accents = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    return {"NFKC": normalizers.NFKC(), "NFD": normalizers.NFD(), "lower": normalizers.Lowercase(), "accents": accents}[name]


@pytest.mark.parametrize("name", ["NFKC", "NFD", "lower", "accents"])
@pytest.mark.parametrize("prefix", [True, False])
def test_words_whose_letters_were_changed_get_their_own_tokens(prefix, name):
    tokenizer = byte_level(prefix=prefix, trim=True, normalizer=normalizers_of(name), added=added(rstrip=True))
    text = "İs ﬁne½ <x> Zoë e\u0301é <x>7"
    (found,) = encode(tokenizer, [text])
    for letter in "snZo7":
        place = text.rindex(letter)
        ((start, end),) = tokens_of_spans(found, [(place, place + 1)])
        assert letter.lower() in tokenizer.decode(found.ids[start:end]).lower()


def test_a_letter_whose_accent_alone_was_given_its_place_is_read_with_it():
    parts = {"normalizer": normalizers_of("NFD"), "added": added(rstrip=True), "text": "Es Ex Ey 3"}
    tokenizer, text = byte_level(prefix=True, trim=True, **parts), "<x>  É 3"
    (found,) = encode(tokenizer, [text])
    ((start, end),) = tokens_of_spans(found, [(5, 6)])
    assert tokenizer.decode(found.ids[start:end]).strip() == "E\u0301"


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_a_blank_put_in_front_takes_no_letter(scheme):
    tokenizer = metaspace(scheme=scheme, added=added())
    for text in ("日本 7", "<x>日 7", "x🙂é"):
        (found,) = encode(tokenizer, [text])
        for i, (start, end) in enumerate(found.offsets):
            if tokenizer.convert_ids_to_tokens(found.ids[i]) == "\N{LOWER ONE EIGHTH BLOCK}":
                assert not text[start:end].strip()
        assert {i for span in found.offsets for i in range(*span)} >= {i for i, c in enumerate(text) if not c.isspace()}


class _Lies:
    """A fast tokenizer whose offsets are changed by a function of the text."""

    def __init__(self, tokenizer, change):
        self._tokenizer, self._change = tokenizer, change

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def __call__(self, texts, **options):
        batch = self._tokenizer(texts, **options)
        if "offset_mapping" in batch:
            rows = zip(texts, batch["offset_mapping"], strict=True)
            batch["offset_mapping"] = [[self._change(text, *span) for span in row] for text, row in rows]
        return batch


LIES = {
    "bytes": lambda text, start, end: (len(text[:start].encode()), len(text[:end].encode())),
    "one late": lambda text, start, end: (start + 1, end + 1),
    "one early": lambda text, start, end: (max(0, start - 1), max(0, end - 1)),
    "late behind é": lambda text, start, end: (
        (start + 1, end + 1) if "é" in text[:start] or "ï" in text[:start] else (start, end)
    ),
    "nothing": lambda text, start, end: (0, 0),
    "all": lambda text, start, end: (0, len(text)),
    "first cut": lambda text, start, end: (min(1, end), end) if start == 0 else (start, end),
}


@pytest.mark.parametrize("lie", LIES)
def test_wrong_offsets_are_found_out_and_decoding_takes_over(new_tokenizer, lie):
    right = new_tokenizer()
    for text in [*TEXTS[:-1], "Sort: 3 1 2 é 3 2 1"]:
        (expected,), (found,) = encode(right, [text]), encode(_Lies(right, LIES[lie]), [text])
        assert solid(found.offsets, text) == solid(expected.offsets, text), text


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie != "all"])
def test_wrong_offsets_are_told_once_when_a_model_is_attached(backbone, config, lie):
    import hybrid

    good, backbone.tokenizer = backbone.tokenizer, _Lies(backbone.tokenizer, LIES[lie])
    with pytest.warns(UserWarning, match="gives wrong offsets .*tokens are placed by decoding them") as told:
        model = hybrid.attach(backbone, config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.solve(["Sort: 3 1 2", "Sort: 7 1 2"])
    assert len(told) == 1
    backbone.tokenizer = good
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = hybrid.attach(backbone, config)
    prompt, digits = "Sort: 3 1 2", [(6, 7), (8, 9), (10, 11)]
    assert plain.backbone.prepare([prompt], [digits])[0].ranges == model.backbone.prepare([prompt], [digits])[0].ranges


def test_an_encoder_that_reads_every_token_is_told_nothing(backbone, config):
    from dataclasses import replace

    import hybrid
    from hybrid.adapters import ENCODERS

    backbone.tokenizer = _Lies(backbone.tokenizer, LIES["one late"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hybrid.attach(backbone, replace(config, encoder=ENCODERS.from_dict("cross_attention")))


def test_a_liar_that_cannot_be_decoded_either_is_refused_and_an_honest_one_is_believed():
    from tokenizers import normalizers

    tokenizer = byte_level(prefix=False, trim=True, normalizer=normalizers.Replace("ﬁ", "five"))
    text = "Zoë ﬁ 3"
    assert encode(tokenizer, [text])[0].offsets is not None
    assert encode(_Lies(tokenizer, LIES["one late"]), [text])[0].offsets is None


def test_blanks_of_right_offsets_keep_their_place():
    """A maze may write an open cell as a blank."""
    tokenizer = metaspace(scheme="always")
    (found,) = encode(tokenizer, ["日  7"])
    assert {i for span in found.offsets for i in range(*span)} == {0, 1, 2, 3}
    assert Aligner(tokenizer).missed is None
