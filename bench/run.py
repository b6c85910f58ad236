"""`./run bench`: Caltrop and transformers do the same work in turn, on this machine, in one run.

    .venv-peers/bin/python bench/run.py [--rounds N] [--dtype auto|fp32|bf16] [--only train,generate,startup,seam,grpo] [--out FOLDER]

Both processes stay loaded and are asked alternately, so a machine that slows down slows both; a ratio is the median over
rounds of (time of the peer / time of Caltrop). Model, rows, dtype and thread count are the same; Caltrop writes the token
rows that the peer reads. Written to FOLDER (runs/bench): bench.json and bench.md.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / ".cache/models/SmolLM2-135M-Instruct"
DOMAIN = ROOT / "data/kitchen/domain.yaml"
MEASUREMENTS = ("train", "generate", "startup", "seam", "grpo")
OURS, PROGRAM, PEER = ROOT / "build/bench_caltrop", ROOT / "build/caltrop", ROOT / "bench/peer.py"


class Side:
    """A process that answers each line with a line of JSON."""

    def __init__(self, *command):
        self.command = [str(part) for part in command]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench: {' '.join(self.command)} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, line="go"):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def in_turn(ours, peer, rounds, line="go"):
    """[(our answer, the peer's)]; one round before them warms both up and is not counted."""
    pairs = []
    for round_number in range(rounds + 1):
        pair = (ours.ask(line), peer.ask(line)) if round_number % 2 == 0 else tuple(reversed((peer.ask(line), ours.ask(line))))
        if round_number > 0:
            pairs.append(pair)
    return pairs


def compared(name, unit, pairs, amount=None, flops=None):
    """Medians of the two sides, as seconds or as amount/second, of the ratio, and of our share of `flops` a second."""
    value = (lambda row: row["seconds"]) if amount is None else (lambda row: row[amount] / row["seconds"])
    result = {"what": name, "unit": unit, "caltrop": statistics.median(value(ours) for ours, _ in pairs),
            "transformers": statistics.median(value(peer) for _, peer in pairs), "rounds": len(pairs),
            "ratio": statistics.median(peer["seconds"] / ours["seconds"] for ours, peer in pairs),
            "ratios": sorted(peer["seconds"] / ours["seconds"] for ours, peer in pairs)}
    if flops is not None:
        result["share_of_gemm_peak"] = statistics.median(ours["flops"] / ours["seconds"] for ours, _ in pairs) / flops
    return result


def peak(dtype):
    side = subprocess.run([OURS, "gemm", dtype], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(side.stdout)["flops"]


def train(dtype, rounds, folder, flops):
    rows = folder / "train-rows.jsonl"
    ours = Side(OURS, "train", MODEL, DOMAIN, 8, dtype, rows, "sft", "{data: harmful}")
    peer = Side(sys.executable, PEER, "train", MODEL, 8, dtype, rows)
    pairs = in_turn(ours, peer, rounds)
    ours.close(), peer.close()
    result = compared(f"training step, 8 kitchen rows, {dtype}", "s", pairs, flops=flops)
    # The same rows from the same weights: the losses must agree, or the times mean nothing.
    apart = max(abs(ours["attack_loss"] - peer["attack_loss"]) for ours, peer in pairs)
    result["largest_loss_difference"] = apart
    if apart > (1e-2 if dtype == "fp32" else 1e-1):
        sys.exit(f"bench: the two sides train differently: losses are {apart} apart")
    return [result]


def seam(rounds, folder):
    """A step of SEAM beside the same six passes in PyTorch, in fp32 since it takes differences; then our exact mode."""
    rows = folder / "seam-rows.jsonl"
    # Both at the preset's relative step, without the self-check, which is not part of a step.
    ours = Side(OURS, "train", MODEL, DOMAIN, 8, "fp32", rows, "seam", "{check_every: 0}")
    peer = Side(sys.executable, PEER, "seam", MODEL, rows)
    pairs = in_turn(ours, peer, rounds)
    ours.close(), peer.close()
    result = compared("SEAM step, 3 x 8 kitchen rows, fp32", "s", pairs)
    result["largest_cosine_difference"] = max(abs(ours["cosine"] - peer["cosine"]) for ours, peer in pairs)
    if result["largest_cosine_difference"] > 1e-2:
        sys.exit(f"bench: the two sides compute other cosines: {pairs}")
    exact = Side(OURS, "train", MODEL, DOMAIN, 8, "fp32", rows, "seam", "{check_every: 0, hessian: exact}")
    times = [exact.ask()["seconds"] for _ in range(rounds + 1)][1:]
    exact.close()
    result["exact_seconds"] = statistics.median(times)
    result["exact_over_difference"] = result["exact_seconds"] / result["caltrop"]
    return [result]


def grpo(dtype, rounds, folder):
    """A step of GRPO, 32 prompts of 64 tokens x 4 responses of at most 32, beside TRL's GRPOTrainer."""
    rows = folder / "grpo-rows.jsonl"
    ours = Side(OURS, "grpo", MODEL, DOMAIN, 32, 4, 32, dtype, rows)
    peer = Side(sys.executable, PEER, "grpo", MODEL, 32, 4, 32, dtype, rows)
    pairs = in_turn(ours, peer, rounds)
    ours.close(), peer.close()
    result = compared(f"GRPO step, 32 x 4 responses of at most 32 tokens, {dtype}", "s", pairs)
    result["share_of_rollout"] = statistics.median(
        128 * o["response_length"] / o["rollout_speed"] / o["seconds"] for o, _ in pairs)
    result["memory"] = {"caltrop": max(o["memory"] for o, _ in pairs), "transformers": max(p["memory"] for _, p in pairs)}
    return [result]


def generate(dtype, rounds, folder, flops):
    rows = folder / "generate-rows.jsonl"
    ours = Side(OURS, "generate", MODEL, DOMAIN, 32, 64, dtype, rows)
    peer = Side(sys.executable, PEER, "generate", MODEL, 64, dtype, rows)
    results = []
    for how in ("greedy", "sampled"):
        pairs = in_turn(ours, peer, rounds, how)
        if how == "greedy" and dtype == "fp32" and pairs[0][0]["first"] != pairs[0][1]["first"]:
            sys.exit("bench: the two sides generate different greedy answers")
        results.append(compared(f"generation, batch 32, 64 new tokens, {how}, {dtype}", "tokens/s", pairs, "tokens", flops))
    ours.close(), peer.close()
    return results


def startup(rounds):
    """Whole processes: start, load, one answer of one token."""
    def timed(command, text):
        start = time.perf_counter()
        subprocess.run([str(part) for part in command], input=text, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
                       check=True)
        return {"seconds": time.perf_counter() - start}

    ours = lambda: timed([PROGRAM, "chat", MODEL, "--dtype", "fp32", "--max-new-tokens", 1], "What is a heron?\n")
    peer = lambda: timed([sys.executable, PEER, "one-token", MODEL], "")
    ours(), peer()
    return [compared("start to first token, whole process, fp32", "s", [(ours(), peer()) for _ in range(rounds)])]


def machine():
    processor = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"{processor}, {os.cpu_count()} cores"


def table(results, peaks):
    lines = [f"{machine()}; GEMM peak measured in this run: "
             + ", ".join(f"{flops / 1e9:.0f} GFLOP/s {dtype}" for dtype, flops in peaks.items()) + ".", "",
             "| what | Caltrop | transformers | ratio (median of rounds) | share of GEMM peak |", "|---|---|---|---|---|"]
    for row in results:
        show = lambda value: f"{value:.0f} {row['unit']}" if value >= 100 else f"{value:.3g} {row['unit']}"
        share = f"{100 * row['share_of_gemm_peak']:.0f} %" if "share_of_gemm_peak" in row else ""
        if "exact_seconds" in row:
            share = f"(exact: {row['exact_seconds']:.1f} s, {row['exact_over_difference']:.2f} times as long)"
        if "share_of_rollout" in row:
            gib = {side: bytes_ / 2**30 for side, bytes_ in row["memory"].items()}
            share = (f"(rollout {100 * row['share_of_rollout']:.0f} % of ours; peak memory {gib['caltrop']:.1f} GiB, "
                     f"TRL {gib['transformers']:.1f} GiB)")
        lines.append(f"| {row['what']} | {show(row['caltrop'])} | {show(row['transformers'])} | {row['ratio']:.2f}x "
                     f"({row['ratios'][0]:.2f} to {row['ratios'][-1]:.2f}, {row['rounds']} rounds) | {share} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dtype", default="auto", choices=["auto", "fp32", "bf16"],
                        help="auto: the one that this machine multiplies faster, as Caltrop chooses")
    parser.add_argument("--only", default="train,generate,startup,seam",
                        help=f"of {', '.join(MEASUREMENTS)}; grpo is not in the default, TRL's side of it takes minutes a step here")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/bench")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    only = arguments.only.split(",")
    for name in only:
        if name not in MEASUREMENTS:
            parser.error(f"no measurement '{name}'; there are: {', '.join(MEASUREMENTS)}")

    peaks = {dtype: peak(dtype) for dtype in ("fp32", "bf16")}
    dtype = arguments.dtype if arguments.dtype != "auto" else max(peaks, key=peaks.get)
    results = []
    if "train" in only:
        results += train(dtype, arguments.rounds, arguments.out, peaks[dtype])
    if "generate" in only:
        results += generate(dtype, max(3, arguments.rounds // 2), arguments.out, peaks[dtype])
    if "startup" in only:
        results += startup(max(3, arguments.rounds // 2))
    if "seam" in only:
        results += seam(max(2, arguments.rounds // 2), arguments.out)
    if "grpo" in only:
        results += grpo(dtype, max(2, arguments.rounds // 2), arguments.out)

    (arguments.out / "bench.json").write_text(json.dumps({"machine": machine(), "gemm_peak": peaks, "results": results}, indent=1))
    (arguments.out / "bench.md").write_text(table(results, peaks))
    print(table(results, peaks), end="")


if __name__ == "__main__":
    main()
