"""WordNet 3.0 as it lies in Debian's package wordnet-base: noun synsets with their hyponyms."""
import dataclasses
import pathlib
import re

FOLDER = pathlib.Path("/usr/share/wordnet")


@dataclasses.dataclass
class Synset:
    offset: str
    file: int  # lexicographer file: 5 noun.animal, 6 noun.artifact, 13 noun.food, …
    words: list  # lower case, spaces for underscores; proper nouns are left out
    gloss: str  # the definition, without examples
    hypernyms: list
    hyponyms: list


def nouns():
    """All noun synsets by offset."""
    synsets = {}
    for line in (FOLDER / "data.noun").read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue  # the licence
        head, _, gloss = line.partition("|")
        parts = head.split()
        count = int(parts[3], 16)
        words = [parts[4 + 2 * i] for i in range(count)]
        pointers = parts[4 + 2 * count:]
        links = [(pointers[i], pointers[i + 1]) for i in range(1, len(pointers) - 3, 4)]
        definition = re.split(r';\s*"|; ', gloss.strip())[0].strip()
        synsets[parts[0]] = Synset(
            offset=parts[0], file=int(parts[1]),
            words=[w.replace("_", " ") for w in words if w == w.lower()],
            gloss=definition,
            hypernyms=[offset for kind, offset in links if kind in ("@", "@i")],
            hyponyms=[offset for kind, offset in links if kind == "~"])
    return synsets


def first_senses():
    """word -> offset of its most frequent noun sense: a word is asked about only in the sense that people mean."""
    senses = {}
    for line in (FOLDER / "index.noun").read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue
        parts = line.split()
        senses[parts[0].replace("_", " ")] = parts[-int(parts[2])]
    return senses


def counts():
    """word -> how often its noun senses were tagged in WordNet's corpora: the only frequency that it knows."""
    total = {}
    for line in (FOLDER / "cntlist.rev").read_text(encoding="utf-8").splitlines():
        key, _, count = line.split()
        word, _, rest = key.partition("%")
        if rest.startswith("1:"):
            word = word.replace("_", " ")
            total[word] = total.get(word, 0) + int(count)
    return total


def below(synsets, offset):
    """The synset and everything that is a kind of it."""
    seen, queue = [], [offset]
    while queue:
        here = queue.pop(0)
        if here in seen:
            continue
        seen.append(here)
        queue += synsets[here].hyponyms
    return seen
