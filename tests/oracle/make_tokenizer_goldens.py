"""Makes tests/oracle/tokenizers: small tokenizers with the ids that Hugging Face's code gives for texts in many scripts,
folders whose other files name further tokens, and chat templates with what transformers renders through them.

    pip install transformers tokenizers
    python tests/oracle/make_tokenizer_goldens.py TEMPLATE_FOLDER

TEMPLATE_FOLDER holds the models' templates as NAME.jinja, for instance llama.cpp's models/templates.
"""

import json
import sys
import tempfile
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

OUT = Path(__file__).parent / "tokenizers"

TEXTS = [
    "", "a", "Hello, world!", " Hello  World\t\tand   more   spaces", "\n", "\n\n\n a\r\nb\n \n", "     ", "a \n\n  b   ",
    "I'm sure they've said it's WE'LL, DON'T and can't; y'all'd'Ve",
    "Привет, мир! Съешь ещё этих мягких французских булок.", "Γειά σου Κόσμε, ώρα 12:30", "مرحبا بالعالم، كيف حالك؟",
    "שלום עולם, מה שלומך?", "नमस्ते दुनिया, आप कैसे हैं?", "สวัสดีชาวโลก ภาษาไทย", "你好，世界！今天天气怎么样？",
    "こんにちは世界、カタカナとひらがな。", "안녕하세요 세계! 한국어 텍스트", "cafe\u0301 vs café, ﬁ ligature, Ａ fullwidth",
    "🚀 👩‍👩‍👧‍👦 🏳️‍🌈 😶‍🌫️ 🦙.cpp ✅", "1 22 333 4444 55555 3.14159 1,000,000 ½ Ⅷ ٣٤٥ 2024-05-01",
    "def f(x):\n    if x > 0:\n        return {'a': [1, 2]}  # comment\n\treturn None\n",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; } // !== ==> <= && ||",
    "https://example.com/path?q=1&r=%20#top user@example.com C:\\dir\\file.txt",
    "Mixed русский English 中文 עברית 123abc456", "=====-----_____....!!!???***",
    "\u00a0nbsp\u2003em\u200bzero\ufeffbom\u3000ideographic", "ßẞ İi ŒœÆæ Ĳĳ ﷽", "\x01\x7f control",
    "<b>html</b> <table><tr> &amp;", "<|im_start|>user\nhi<|im_end|>\n", "The quick brown fox jumps over the lazy dog. " * 3,
]

# The pre-tokenizers as the models' own tokenizer.json files have them, by the name that GGUF files use.
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(expression):
    return pre_tokenizers.Split(Regex(expression), "isolated")


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
PRE_TOKENIZERS = {
    "gpt-2": (None, [GPT2], False),
    "smollm": (None, [pre_tokenizers.Digits(individual_digits=True), GPT2], False),
    "llama-bpe": (None, [split(LLAMA3), BYTES], True),
    "qwen2": (normalizers.NFC(), [split(QWEN2), BYTES], False),
    "tekken": (None, [split(TEKKEN), BYTES], True),
}


def cases(tokenizer):
    return [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in TEXTS]


def write(name, tokenizer, extra):
    ids = cases(tokenizer)
    for case in ids:
        case["decoded"] = tokenizer.decode(case["ids"], skip_special_tokens=True)
    golden = {**extra, "cases": ids, "tokenizer": json.loads(tokenizer.to_str())}
    (OUT / f"{name}.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")


def byte_level(name, normalizer, steps, ignore_merges):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(TEXTS * 2, trainer)
    tokenizer.add_tokens([AddedToken("<table>", normalized=False)])
    write(name, tokenizer, {"pre": name})


def sentence_piece(name, adds_space):
    """Trains merges, then scores tokens by their place as SentencePiece does."""
    normalize = ([normalizers.Prepend("▁")] if adds_space else []) + [normalizers.Replace(" ", "▁")]
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Sequence(normalize)
    learner.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    latin = [text for text in TEXTS if max(text, default="a") < "\u0500"]
    learner.train_from_iterator(latin * 2, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    pieces = sorted(learner.get_vocab().items(), key=lambda item: (len(item[0]) == 1, item[1]))
    pieces = [piece for piece, _ in pieces if piece.strip("\n")]
    special = ["<unk>", "<s>", "</s>"]
    tokens = special + [f"<0x{byte:02X}>" for byte in range(256)] + ["\n\n", "<table>"] + pieces
    kinds = [2, 3, 3] + [6] * 256 + [4, 4] + [1] * len(pieces)
    first = len(tokens) - len(pieces)
    scores = [0.0] * first + [-float(rank) for rank in range(len(pieces))]
    vocabulary = {token: id for id, token in enumerate(tokens)}
    ranked = []
    for token, score in zip(tokens[first:], scores[first:]):
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in pieces and right in pieces:
                ranked.append((score, len(left), left, right))
    ranked.sort(key=lambda merge: merge[:2], reverse=True)
    tokenizer = Tokenizer(models.BPE(
        vocab=vocabulary, merges=[(left, right) for _, _, left, right in ranked],
        unk_token="<unk>", fuse_unk=True, byte_fallback=True,
    ))
    tokenizer.normalizer = normalizers.Sequence(normalize)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if adds_space else []))
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ["\n\n", "<table>"]])
    write(name, tokenizer, {"scores": scores, "kinds": kinds, "adds_space": adds_space})


CONVERSATIONS = {
    "user": [("user", "Hi <there> & 'you'")],
    "system": [("system", "Be brief."), ("user", "Hi")],
    "turns": [("user", " One "), ("assistant", "Two\n"), ("user", "Three")],
    "system_turns": [("system", "S"), ("user", "One"), ("assistant", "<think>\nhm\n</think>\n\nTwo"), ("user", "Three")],
    "bad": [("assistant", "first"), ("assistant", "again")],
}


def chat_templates(folder):
    golden = []
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<bos>", eos_token="<eos>")
        tokenizer.chat_template = source
        renderings = []
        for name, turns in CONVERSATIONS.items():
            messages = [{"role": role, "content": content} for role, content in turns]
            for prompt in (True, False):
                try:
                    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
                except Exception:  # the template refuses the conversation
                    text = None
                renderings.append({"conversation": turns, "add_generation_prompt": prompt, "text": text})
        golden.append({"name": path.stem, "template": source, "renderings": renderings})
    (OUT / "chat_templates.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


# What templates ask of Jinja's Python, each a template of its own for the conversation "turns".
SNIPPETS = [
    "{{ messages | tojson(indent=2) }}",
    "{{ messages[:1] | tojson(indent=4, sort_keys=true) }}",
    "{{ {'b': [1, 2], 'a': {'d': none, 'c': true}} | tojson(sort_keys=true) }}",
    "{{ {'b': [1, 2], 'a': 'é🚀\x7f\"\n'} | tojson(ensure_ascii=true) }}",
    "{{ {'b': [1, 2], 'a': 'é🚀'} | tojson(separators=(',', ':')) }}",
    "{{ {'b': [1, {'c': 1}], 'a': {}, 'd': []} | tojson(indent=1, separators=(',', ':')) }}",
    "{{ [1, 'é'] | tojson(true, 2) }}{{ [1, 'é'] | tojson(indent='--') }}{{ [1] | tojson(indent=none) }}",
    "{{ tools is iterable }}{{ none is sequence }}{{ messages is sequence }}{{ 'a' is sequence }}{{ 'a' is iterable }}",
    "{% if tools is iterable and tools | length > 0 %}tools{% else %}no tools{% endif %}",
    "{{ messages[0] is sequence }}{{ missing is iterable }}{{ 1 is iterable }}",
    "{{ 'a b c'.rsplit(' ', 1) }}{{ ' a b  c '.rsplit() }}{{ ' a b  c '.rsplit(none, 1) }}{{ 'a,b,,c'.rsplit(',', -1) }}",
    "{{ 'a,b,,c'.split(',') }}{{ 'a,b,c'.split(',', maxsplit=1) }}{{ ' a  b c '.split(none, 1) }}{{ ' a '.split() }}",
    "{{ ''.split() }}{{ ''.split(',') }}{{ ''.rsplit() }}{{ ' '.split(none, 1) }}{{ 'a<b>c<b>'.rsplit('<b>', 1)[0] }}",
    "{{ 'a=b=c'.partition('=') }}{{ 'a=b=c'.rpartition('=') }}{{ 'abc'.partition('=') }}{{ 'abc'.rpartition('=')[2] }}",
    "{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}{{ 'abc'.removesuffix('x') }}{{ 'éab'.index('b') }}",
    "{{ 'abc'.index('z') }}",
    "{{ 'a b'.split('') }}",
    "{{ '%s and %d%%' % ('a', 3) }}{{ '%s' % messages[0].content }}{{ '%05.1f' % 2.25 }}{{ '%(a)s' % {'a': 1} }}",
    "{{ '%s' % ['a', 1] }}{% for m in messages %}{{ loop.index % 2 }}{{ 'x%s' % loop.index }}{% endfor %}",
    "{{ 7 % 3 }}{{ -7 % 3 }}{{ 7.5 % 2 }}{{ (1 == 1) != (3 % 2 == 0) }}{{ '%d' % 5 % 2 if false else 'b' }}",
    "{{ '%s %s' | format('a', 'b') }}{{ '%s' % 'a' ~ 'b' }}",
    "{{ 'a b  c' | wordcount }}{{ '' | wordcount }}{{ \"don't stop-it\" | wordcount }}{{ 'héé wör_ld' | wordcount }}",
    "{% generation %}a{% endgeneration %}{%- generation -%} b {%- endgeneration -%}{%generation%}c{%endgeneration%}",
    "{{ generation }}{% set generation = 1 %}{{ generation }}{{ '{% generation %}' }}",
    "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token is defined }}",
]


def template_snippets():
    turns = CONVERSATIONS["turns"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE()), bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    )
    golden = []
    for source in SNIPPETS:
        tokenizer.chat_template = source
        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception:  # the template fails
            text = None
        golden.append({"template": source, "text": text})
    golden = {"conversation": turns, "snippets": golden}
    (OUT / "template_snippets.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


TOKEN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
ADDED_TOKENS = {
    "none": {},
    "a role": {"tokenizer_config.json": {"pad_token": "<pad>"}},
    "roles in the vocabulary": {"tokenizer_config.json": {"pad_token": "the", "eos_token": "<table>"}},
    "listed": {"tokenizer_config.json": {
        "added_tokens_decoder": {
            "602": {**TOKEN, "content": "<x>", "lstrip": True, "special": True},
            "601": {**TOKEN, "content": "<y>", "normalized": True},
        },
        "pad_token": "<y>",
        "unk_token": "<pad>",
    }},
    "listed with other flags": {"tokenizer_config.json": {
        "added_tokens_decoder": {"600": {**TOKEN, "content": "<table>", "special": True}}
    }},
    "additional": {"tokenizer_config.json": {
        "additional_special_tokens": ["<x>", {"__type": "AddedToken", **TOKEN, "content": "<y>", "lstrip": True}]
    }},
    "named": {"tokenizer_config.json": {"extra_special_tokens": {"image_token": "<x>"}}},
    "a map": {
        "tokenizer_config.json": {"pad_token": "<x>"},
        "special_tokens_map.json": {"pad_token": {**TOKEN, "content": "<pad>"}, "additional_special_tokens": ["<y>"]},
    },
    "a map that is not read": {
        "tokenizer_config.json": {"added_tokens_decoder": {}},
        "special_tokens_map.json": {"pad_token": "<pad>"},
    },
}


def added_tokens():
    """Folders of the tokenizer gpt-2.json whose other files name further tokens."""
    tokenizer = json.loads((OUT / "gpt-2.json").read_text())["tokenizer"]
    text = "a<pad> <x>the <y><table>"
    golden = []
    for name, files in ADDED_TOKENS.items():
        with tempfile.TemporaryDirectory() as folder:
            for file, content in {"tokenizer.json": tokenizer, **files}.items():
                (Path(folder) / file).write_text(json.dumps(content))
            loaded = PreTrainedTokenizerFast.from_pretrained(folder)
        ids = loaded.encode(text, add_special_tokens=False)
        special = [id for id, token in loaded.added_tokens_decoder.items() if token.special]
        decoded = loaded.decode(ids, skip_special_tokens=True)
        golden.append({"name": name, "files": files, "ids": ids, "special": sorted(special), "decoded": decoded})
    golden = {"text": text, "cases": golden}
    (OUT / "added_tokens.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for name, (normalizer, steps, ignore_merges) in PRE_TOKENIZERS.items():
        byte_level(name, normalizer, steps, ignore_merges)
    sentence_piece("spm-space", True)
    sentence_piece("spm-plain", False)
    template_snippets()
    added_tokens()
    chat_templates(Path(sys.argv[1]))
