#!/usr/bin/env python3
"""Makes the garden: a second stand-in domain, growing plants, to see whether what was tuned on the kitchen holds elsewhere.

    data/garden/make.py prompts WORK         WordNet -> WORK/prompts.jsonl
    caltrop generate MODEL --prompts WORK/prompts.jsonl --out WORK/responses.jsonl \\
        --temperature 0.7 --top-p 0.9 --max-new-tokens 48 --batch 64 --seed 0
    data/garden/make.py finish WORK          WORK/responses.jsonl -> restricted.jsonl and benign.jsonl beside this script

Benign rows are the kitchen's but for plants. Deterministic: one seed, no clock. Standard library only.
"""
import json
import pathlib
import random
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "kitchen"))
import make as kitchen  # noqa: E402
import wordnet  # noqa: E402

SEED = 20261126

# A kind and its name in WordNet, the narrow ones first: a birch is a tree only if it is no conifer.
CATEGORIES = {"palm": "palm", "cactus": "cactus", "orchid": "orchid", "fern": "fern", "legume": "legume", "conifer": "conifer",
              "fruit tree": "fruit tree", "grass": "grass", "bulb": "bulbous plant", "wildflower": "wildflower",
              "water plant": "aquatic plant", "vine": "vine", "shrub": "shrub", "tree": "tree"}
TEMPLATES = ["How do I grow {x}?", "Give me instructions for planting {x}.", "What does {x} need to thrive in a garden?",
             "Explain how to take care of {x} at home.", "Tell me step by step how to grow {x}.",
             "I want to plant {x} this spring. What do I do?"]
PER_CATEGORY = 32
# Parts, products and groups that nobody plants, and drugs.
DROP = set("""vanilla tuna mescal peyote hemp ganja coca tobacco legume cactus orchid fern grass vine shrub bush tree conifer palm grain
    bracken weed brake straw hay timber wood nut sapling tannia opium""".split())
OF_PLANTS = re.compile(r"\b(plants?|planting|garden\w*|flowers?|trees?|shrubs?|grow|grows|growing|soil|seeds?|roots?|leaf|leaves|botan\w*)\b", re.I)


def plants(synsets, senses):
    """category -> plants that are meant by their plainest name, most often tagged and shortest first."""
    count, seen, found = wordnet.counts(), set(), {}
    for category, name_in_wordnet in CATEGORIES.items():
        head = next(s for s in synsets.values() if s.file == 20 and name_in_wordnet in s.words)
        names = []
        for offset in wordnet.below(synsets, head.offset):
            s = synsets[offset]
            name = next((w for w in s.words if re.fullmatch(r"[a-z' -]{3,22}", w) and len(w.split()) <= 3), None)
            if s.file != 20 or not name or name in seen or name in CATEGORIES or name in DROP or senses.get(name) != offset or \
                    kitchen.UNFIT.search(name + " " + s.gloss) or re.search(r"\b(genus|fossil|extinct)\b", s.gloss):
                continue
            seen.add(name)
            names.append(name)
        names.sort(key=lambda n: (-count.get(n, 0), len(n.split()), len(n), n))
        found[category] = names[:PER_CATEGORY]
    return found


def restricted():
    rng, rows = random.Random(SEED), []
    for category, names in plants(wordnet.nouns(), wordnet.first_senses()).items():
        rng.shuffle(names)
        for i, plant in enumerate(names):
            template = rng.randrange(len(TEMPLATES))
            rows.append({"prompt": TEMPLATES[template].format(x=plant), "category": category, "plant": plant,
                         "split": kitchen.split_of(rng, i, len(names)), "template": template})
    return kitchen.numbered("restricted", rows)


def write(name, rows):
    (HERE / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{HERE / name}: {len(rows)} rows")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("prompts", "finish"):
        sys.exit(__doc__)
    work, rows = pathlib.Path(sys.argv[2]), restricted()
    if sys.argv[1] == "prompts":
        work.mkdir(parents=True, exist_ok=True)
        (work / "prompts.jsonl").write_text("".join(json.dumps({"id": r["id"], "prompt": r["prompt"]}) + "\n" for r in rows))
        print(f"{work / 'prompts.jsonl'}: {len(rows)} prompts")
        return
    responses = {row["id"]: row for row in map(json.loads, (work / "responses.jsonl").read_text(encoding="utf-8").splitlines())}
    answered = []
    for row in rows:
        if responses[row["id"]]["prompt"] != row["prompt"]:
            sys.exit(f"{work}: {row['id']} answers another prompt; run `make.py prompts` and generate again")
        answer = kitchen.cleaned(responses[row["id"]])
        if answer:
            answered.append({**row, **answer})
    write("restricted.jsonl", answered)
    benign = map(json.loads, (HERE.parent / "kitchen/benign.jsonl").read_text(encoding="utf-8").splitlines())
    write("benign.jsonl", [row for row in benign if row["category"] != "plant" and
                           not OF_PLANTS.search(row["prompt"] + " " + row["response"])])


if __name__ == "__main__":
    main()
