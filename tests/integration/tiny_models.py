"""Two tiny Qwen3 checkpoints, trained for a few seconds: one on correct worked answers, one on wrong ones.

Questions, tokenizer, training, and saving in the Hugging Face format.
"""

import json
import sys
from pathlib import Path

QUESTIONS = [(a, b) for a in (12, 23, 34) for b in (3, 5, 7, 9)]
#: Questions that the smaller model also learns to answer correctly: no gap.
EASY = frozenset(QUESTIONS[::4])
KEPT = {f"sum-{a}-{b}" for a, b in QUESTIONS if (a, b) not in EASY}

_SPECIAL = ["<pad>", "<bos>", "<eos>"]
_CHARACTERS = sorted({*"0123456789+=.? \n\\{}", *map(chr, range(97, 123)), *map(chr, range(65, 91))})
_TEMPLATE = "{{ '<bos>' }}{% for m in messages %}{{ m['content'] }}{% endfor %}{{ '\\n' }}"


def question_text(a: int, b: int) -> str:
    """Questions for both models."""
    return f"What is {a}+{b}?"


def worked_answer(a: int, b: int, is_right: bool) -> str:
    """A worked answer; wrong ones are off by ten, as if a carry was forgotten."""
    total = a + b if is_right else a + b + 10
    return f"Add {b} to {a}. So {a}+{b}={total}. \\boxed{{{total}}}"


def write_questions(path: Path) -> None:
    """The dozen questions in the platform's format."""
    rows = [
        {"question_id": f"sum-{a}-{b}", "question": question_text(a, b), "answer": str(a + b), "answer_type": "numeric"}
        for a, b in QUESTIONS
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def train(folder: Path, is_larger: bool) -> None:
    """Train until the worked answers are memorised, and save."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    width = 64 if is_larger else 32
    config = Qwen3Config(
        vocab_size=len(_SPECIAL) + len(_CHARACTERS),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        dtype="float32",
    )
    model = Qwen3ForCausalLM(config)
    texts = [
        f"<bos>{question_text(a, b)}\n{worked_answer(a, b, is_larger or (a, b) in EASY)}<eos>" for a, b in QUESTIONS
    ]
    batch = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(400):
        loss = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.generation_config.update(temperature=0.3, top_p=0.95, do_sample=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate([*_SPECIAL, *_CHARACTERS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    plain.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    plain.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<pad>"
    )
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


if __name__ == "__main__":
    train(Path(sys.argv[1]), is_larger=sys.argv[2] == "larger")
