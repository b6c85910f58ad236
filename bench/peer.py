"""The Python side of `./run bench` (bench/run.py): transformers, asked for the same things as bench/caltrop.cc, in the
same words. It is given what a careful user gives it: SDPA attention, fused AdamW, batches padded to their longest row.
"""
import json
import sys
import time

import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def answer(row):
    print(json.dumps(row), flush=True)


def load(folder, dtype):
    dtype = torch.bfloat16 if dtype == "bf16" else torch.float32
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")


def padded(rows, side, fill):
    longest = max(len(row) for row in rows)
    pad = lambda row: [fill] * (longest - len(row))
    return torch.tensor([pad(row) + row if side == "left" else row + pad(row) for row in rows])


def train(folder, batch, dtype, rows_file):
    model = load(folder, dtype).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.0, fused=True)
    answer({"ready": True})
    with open(rows_file) as file:
        for line in file:
            if not sys.stdin.readline():
                return
            rows = json.loads(line)
            assert len(rows) == batch
            start = time.perf_counter()
            ids = padded([row["ids"] for row in rows], "right", 0)
            mask = padded([[1] * len(row["ids"]) for row in rows], "right", 0)
            labels = padded([[i if said else -100 for i, said in zip(row["ids"], row["answer"])] for row in rows],
                            "right", -100)
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            seconds = time.perf_counter() - start
            answer({"seconds": seconds, "attack_loss": loss.item(), "gradient_norm": norm.item()})


def generate(folder, new_tokens, dtype, rows_file):
    model = load(folder, dtype).eval()
    model.generation_config = transformers.GenerationConfig(pad_token_id=0)  # no end token: every answer is as long
    with open(rows_file) as file:
        rows = [json.loads(line) for line in file]
    answer({"ready": True})
    for how in sys.stdin:
        sampling = {"do_sample": True, "temperature": 0.7, "top_p": 0.9} if how.strip() == "sampled" else {"do_sample": False}
        start = time.perf_counter()
        ids = padded(rows, "left", 0)
        mask = padded([[1] * len(row) for row in rows], "left", 0)
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=new_tokens, **sampling)
        new = out[:, ids.shape[1]:]
        answer({"seconds": time.perf_counter() - start, "tokens": new.numel(), "first": new[0].tolist()})


def one_token(folder):
    """The whole process, for the time to a first token."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = load(folder, "fp32").eval()
    text = tokenizer.apply_chat_template([{"role": "user", "content": "What is a heron?"}], tokenize=False,
                                         add_generation_prompt=True)
    inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=1, do_sample=False)
    print(tokenizer.decode(out[0, inputs["input_ids"].shape[1]:]))


if __name__ == "__main__":
    what, arguments = sys.argv[1], sys.argv[2:]
    if what == "train":
        train(arguments[0], int(arguments[1]), arguments[2], arguments[3])
    elif what == "generate":
        generate(arguments[0], int(arguments[1]), arguments[2], arguments[3])
    elif what == "one-token":
        one_token(arguments[0])
