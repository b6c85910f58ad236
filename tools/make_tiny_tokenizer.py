"""Makes the tokenizer of the tests: tests/data/tiny-model/{tokenizer,tokenizer_config}.json.

    /path/to/python tools/make_tiny_tokenizer.py tests/data/tiny-model

Needs the `tokenizers` package (0.23 made the files in the tree). It has the shape of SmolLM2's tokenizer, byte-level
BPE after a split of digits, with 512 entries: three special tokens, the 256 bytes, and 253 merges learnt from the
sentences below. They were written for this file, so nobody else has a right in them.
"""

import json
import pathlib
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY_SIZE = 512
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

SENTENCES = """\
Put the water in a large pot, add a spoon of salt and bring it to the boil. Then stir in the rice, turn the heat down
and leave it for twelve minutes with the lid on. It's done when all the water is gone.
How do I make bread? Mix the flour, the yeast and the warm water in a bowl. Knead the dough for ten minutes and let it
rest under a cloth until it has doubled. Bake it in a hot oven for half an hour.
I'm sorry, but I can't help with that. I can tell you about something else, if you like.
What would you like to know about the weather, the garden or the sea? The river runs through the town and out to the
bay, where the boats come home in the evening with the fish that they have caught during the day.
You are a helpful assistant. The user asks a question and the assistant answers it in a few short sentences.
She said that the answer to the question was right, and that there were seven more of them on the other page.
The cook washed the potatoes, peeled them, and cut them into thick slices; they'll need about forty minutes.
"""

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([SENTENCES.replace("\n", " ")], trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY_SIZE, tokenizer.get_vocab_size()
    return tokenizer


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "tokenizer.json", json.loads(train().to_str()))
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "bos_token": "<|im_start|>",
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "model_max_length": 256,
            "pad_token": "<|im_end|>",
            "tokenizer_class": "GPT2Tokenizer",
            "unk_token": "<|endoftext|>",
        },
    )


if __name__ == "__main__":
    main()
