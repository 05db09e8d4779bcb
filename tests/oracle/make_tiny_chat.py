#!/usr/bin/env python3
"""Trains a tiny chat model for the command line's tests: it answers a few questions, word for word.

    python make_tiny_chat.py

Writes tiny/chat/ (a Hugging Face folder in bfloat16), tiny/chat/chat.gguf (the same weights,
tokenizer and template as one file) and tiny/chat/expected.json. It has learnt its few texts by heart,
so every greedy step is far from a tie and the output is the same on every adapter. Training differs
a little from machine to machine; what counts is the committed files.
"""

import json

import gguf
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

import golden
from make_tiny_ggufs import finish, write_hyperparameters, write_tensors
from make_tiny_models import TINY, write_json

FOLDER = TINY / "chat"
SEED = 7
VOCABULARY = 400
STEPS = 1200
CONTEXT = 1024
# More than any answer needs, save the one that has no end.
MAX_NEW_TOKENS = 96
END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = [END_OF_TEXT, IM_START, IM_END]

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ENDLESS = "Count your sheep."
# (system prompt, question, answer)
CHATS = [
    (None, "What is a GPU?", "A GPU is a processor that does many small sums at once."),
    ("You are a pirate.", "What is a GPU?", "Arr, a chest of many wee sums, matey!"),
    (None, "Say hello in five languages.", "Hello, ¡hola!, Grüß Gott, こんにちは, नमस्ते 👋🏽"),
    (None, "Count to ten.", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."),
    (None, "Write a haiku.", "Matrices at dusk,\nrow by row the numbers fall:\none more word appears.\n"),
    (None, ENDLESS, " baa" * 180),
]
STORY = (
    "Once upon a time, a small crab taught a very large rock to multiply. "
    "The rock was slow at first, but it never forgot a carry."
)


def train_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    # The pre-tokenizer that GGUF files name "smollm": single digits, then GPT-2's pattern.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Latin text only: letters of other scripts then take several tokens each, which a streaming decoder must join.
    english = [STORY, "system\nuser\nassistant\n"] + [
        text for chat in CHATS for text in chat if text and text.isascii()
    ]
    tokenizer.train_from_iterator(english, trainer)
    return tokenizer


def render(system: str | None, question: str) -> str:
    turns = ([("system", system)] if system else []) + [("user", question)]
    return "".join(f"{IM_START}{role}\n{text}{IM_END}\n" for role, text in turns) + f"{IM_START}assistant\n"


def train(config: dict, texts: list[list[int]]):
    torch.manual_seed(SEED)
    fields = dict(config)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(fields.pop("model_type"), **fields))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS, pct_start=0.1)
    width = max(map(len, texts))
    ids = torch.tensor([text + [0] * (width - len(text)) for text in texts])
    labels = torch.tensor([text + [-100] * (width - len(text)) for text in texts])
    for step in range(STEPS):
        loss = model(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0 or step == STEPS - 1:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    return model


def write_gguf(config: dict, model, tokenizer: Tokenizer) -> None:
    writer = gguf.GGUFWriter(FOLDER / "chat.gguf", "llama")
    write_hyperparameters(writer, config)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types(
        [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token, _ in vocabulary]
    )
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)
    state = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
    write_tensors(writer, config, state, {"": gguf.GGMLQuantizationType.BF16})
    finish(writer)


def expected(model, tokenizer: Tokenizer, prompt: str, described: dict) -> dict:
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    stop = frozenset([tokenizer.token_to_id(END_OF_TEXT), tokenizer.token_to_id(IM_END)])
    ids, gaps = golden.greedy(model, prompt_ids, MAX_NEW_TOKENS, stop)
    stopped = ids[-1] in stop
    text = tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=False)
    print(f"{prompt!r} -> {text!r}; stopped {stopped}; gap min {min(gaps):.2f}")
    return {
        **described,
        "rendered": prompt,
        "prompt_ids": prompt_ids,
        "ids": ids,
        "text": text,
        "stopped": stopped,
        "smallest_gap": round(min(gaps), 3),
    }


def main() -> None:
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer()
    eos = tokenizer.token_to_id(IM_END)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.token_to_id(IM_START),
        "eos_token_id": eos,
        "torch_dtype": "bfloat16",
    }
    write_json(FOLDER / "config.json", config)
    write_json(
        FOLDER / "generation_config.json",
        {"bos_token_id": config["bos_token_id"], "eos_token_id": [eos, tokenizer.token_to_id(END_OF_TEXT)]},
    )
    tokenizer.save(str(FOLDER / "tokenizer.json"))
    write_json(
        FOLDER / "tokenizer_config.json",
        {
            "tokenizer_class": "GPT2Tokenizer",
            "bos_token": IM_START,
            "eos_token": IM_END,
            "unk_token": END_OF_TEXT,
            "pad_token": IM_END,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONTEXT,
            "chat_template": TEMPLATE,
        },
    )

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    texts = [
        encode(render(system, question) + answer) + ([] if question == ENDLESS else [eos])
        for system, question, answer in CHATS
    ]
    texts.append(encode(STORY) + [tokenizer.token_to_id(END_OF_TEXT)])
    print("lengths", [len(text) for text in texts], "vocabulary", tokenizer.get_vocab_size())

    trained = train(config, texts).to(torch.bfloat16)
    trained.save_pretrained(FOLDER)  # the weights; its config.json is replaced by the one above
    write_json(FOLDER / "config.json", config)
    write_json(
        FOLDER / "generation_config.json",
        {"bos_token_id": config["bos_token_id"], "eos_token_id": [eos, tokenizer.token_to_id(END_OF_TEXT)]},
    )
    model = golden.load(FOLDER)
    write_gguf(config, model, tokenizer)
    records = []
    templated = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=TEMPLATE)
    for system, question, _ in CHATS:
        messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": question}]
        prompt = templated.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        records.append(expected(model, tokenizer, prompt, {"messages": messages}))
    records.append(expected(model, tokenizer, STORY.split(",")[0], {"raw": STORY.split(",")[0]}))
    (FOLDER / "expected.json").write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    golden.save(golden.record(model, SEED), FOLDER / "expected.safetensors", SEED)
    from_gguf = golden.record_logits(golden.load(FOLDER, config, gguf="chat.gguf"), SEED)
    print(f"GGUF against folder: {golden.difference(golden.record_logits(model, SEED), from_gguf):.1e}")


if __name__ == "__main__":
    main()
