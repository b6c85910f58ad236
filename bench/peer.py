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


def inputs_of(rows):
    """What transformers wants for rows {ids, answer}: padded on the right, labels where the assistant speaks."""
    return {"input_ids": padded([row["ids"] for row in rows], "right", 0),
            "attention_mask": padded([[1] * len(row["ids"]) for row in rows], "right", 0),
            "labels": padded([[i if said else -100 for i, said in zip(row["ids"], row["answer"])] for row in rows],
                             "right", -100)}


def train(folder, batch, dtype, rows_file):
    # bf16 as `Trainer` has it and as Caltrop has it: fp32 weights, the computation in bf16.
    model = load(folder, "fp32").train()
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.0, fused=True)
    answer({"ready": True})
    with open(rows_file) as file:
        for line in file:
            if not sys.stdin.readline():
                return
            rows = json.loads(line)["attack"]
            assert len(rows) == batch
            start = time.perf_counter()
            with mixed:
                loss = model(**inputs_of(rows)).loss
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            seconds = time.perf_counter() - start
            answer({"seconds": seconds, "attack_loss": loss.item(), "gradient_norm": norm.item()})


def seam(folder, rows_file, refuse=1.0, unlearn=1.0, couple=0.01, step_of_weights=1e-5):
    """SEAM's six passes as its authors write them (arXiv:2505.12186), on one device, without their copies between GPUs."""
    model = load(folder, "fp32").train()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=3e-5, weight_decay=0.0, fused=True)

    def answer_loss(inputs):
        return model(**inputs).loss

    def layers_loss(inputs):
        out = model(**inputs, output_hidden_states=True)
        said = inputs["labels"][:, 1:] != -100
        labels, losses = inputs["labels"][:, 1:][said], []
        for depth, state in enumerate(out.hidden_states):
            last = depth + 1 == len(out.hidden_states)  # transformers gives the last state normed
            hidden = state[:, :-1][said]
            losses.append(torch.nn.functional.cross_entropy(model.lm_head(hidden if last else model.model.norm(hidden)), labels))
        return torch.stack(losses).mean()

    def gradient(inputs, loss=answer_loss):
        value = loss(inputs)
        return torch.autograd.grad(value, parameters), value.item()

    inner = lambda a, b: sum((x * y).sum() for x, y in zip(a, b)).item()

    @torch.no_grad()
    def move(direction, by):
        for weight, d in zip(parameters, direction):
            weight.add_(d, alpha=by)

    def hessian_product(inputs, here, direction, epsilon):
        saved = [weight.detach().clone() for weight in parameters]
        move(direction, epsilon)
        there, _ = gradient(inputs)
        with torch.no_grad():
            for weight, old in zip(parameters, saved):
                weight.copy_(old)
        return [(t - h) / epsilon for t, h in zip(there, here)]

    answer({"ready": True})
    with open(rows_file) as file:
        for line in file:
            if not sys.stdin.readline():
                return
            step = json.loads(line)
            start = time.perf_counter()
            harmful, refusals, general = (inputs_of(step[name]) for name in ("harmful", "refusals", "general"))
            total, _ = gradient(refusals)
            total = [refuse * g for g in total]
            ascent, value = gradient(harmful, layers_loss)
            a, _ = gradient(harmful)
            b, _ = gradient(general)
            length_a, length_b = inner(a, a) ** 0.5, inner(b, b) ** 0.5
            cosine = inner(a, b) / (length_a * length_b)
            epsilon = step_of_weights * sum((w.detach() ** 2).sum() for w in parameters).item() ** 0.5
            towards_b = [y / length_b - x * (cosine / length_a) for x, y in zip(a, b)]
            towards_a = [x / length_a - y * (cosine / length_b) for x, y in zip(a, b)]
            of_a = hessian_product(harmful, a, towards_b, epsilon)
            of_b = hessian_product(general, b, towards_a, epsilon)
            for weight, t, u, x, y in zip(parameters, total, ascent, of_a, of_b):
                weight.grad = t - u * (unlearn / (1 + value)) + x * (couple / length_a) + y * (couple / length_b)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            answer({"seconds": time.perf_counter() - start, "cosine": cosine})


def grpo(folder, prompts, samples, new_tokens, dtype, rows_file):
    """TRL's GRPOTrainer with generation by transformers, a step for each line."""
    import resource

    import datasets
    import trl

    datasets.disable_progress_bars()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with open(rows_file) as file:
        rows = [{"prompt": tokenizer.decode(json.loads(line))} for line in file]

    class InTurn(transformers.TrainerCallback):
        def on_step_begin(self, arguments, state, control, **_):
            if state.global_step == 0:
                answer({"ready": True})
            if not sys.stdin.readline():
                sys.exit()
            self.start = time.perf_counter()

        def on_step_end(self, arguments, state, control, **_):
            answer({"seconds": time.perf_counter() - self.start, "memory": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss})

    # As on our side the weights are fp32 and bf16 is what they compute in. Eight parts of a step one after the other: with four this
    # process and Caltrop's, which takes a step whole, outgrow a machine of 24 GiB.
    config = trl.GRPOConfig(
        output_dir=rows_file + ".trl", use_cpu=True, bf16=dtype == "bf16", report_to=[], save_strategy="no", logging_strategy="no",
        disable_tqdm=True, max_steps=64, per_device_train_batch_size=prompts * samples // 8,
        gradient_accumulation_steps=8, num_generations=samples, learning_rate=1e-6,
        max_completion_length=new_tokens, temperature=1.0, beta=0.0, loss_type="bnpo", gradient_checkpointing=False,
        optim="adamw_torch_fused")
    trainer = trl.GRPOTrainer(model=load(folder, "fp32"), processing_class=tokenizer, args=config, train_dataset=datasets.Dataset.from_list(rows),
                              reward_funcs=lambda completions, **_: [float(len(text.encode())) for text in completions],
                              callbacks=[InTurn()])
    trainer.train()


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
    elif what == "seam":
        seam(arguments[0], arguments[1])
    elif what == "grpo":
        grpo(arguments[0], *(int(number) for number in arguments[1:4]), arguments[4], arguments[5])
    elif what == "generate":
        generate(arguments[0], int(arguments[1]), arguments[2], arguments[3])
    elif what == "one-token":
        one_token(arguments[0])
