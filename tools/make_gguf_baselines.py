"""Writes the small GGUF files of tests/data/io, and what must come out of them.

    python tools/make_gguf_baselines.py        (needs numpy, gguf and safetensors)

types.gguf        one tensor of each type that Caltrop reads, and one value of each metadata type
types.safetensors the same tensors by gguf.quants.dequantize, the oracle
llama.gguf        a llama of two layers, rows of attn_q and attn_k reordered as llama.cpp's converter does it
llama.safetensors its tensors before that, under their Hugging Face names
"""
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType, GGUFWriter, quants
from safetensors.numpy import save_file

FOLDER = Path(__file__).parent.parent / "tests/data/io"
HIDDEN, INNER, HEADS, KV_HEADS, LAYERS, VOCABULARY = 8, 12, 2, 1, 2, 5


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def blocks(random, kind):
    """Two rows of 64 numbers as random bytes, so that every pattern of bits may come; scales are finite fp16."""
    _, size = quants.GGML_QUANT_SIZES[kind]
    rows = random.integers(0, 256, (2, 2 * size), dtype=np.uint8)
    for at in range(0, 2 * size, size):
        for scale in range(2 if kind == Type.Q4_1 else 1):
            values = np.array([random.normal() * 10.0 ** random.integers(-7, 3) for _ in range(2)], dtype=np.float16)
            rows[:, at + 2 * scale : at + 2 * scale + 2] = values.view(np.uint8).reshape(2, 2)
    return rows


def write_types():
    random = np.random.default_rng(1)
    writer = GGUFWriter(FOLDER / "types.gguf", "test")
    for kind in [GGUFValueType.UINT8, GGUFValueType.INT8, GGUFValueType.UINT16, GGUFValueType.INT16,
                 GGUFValueType.UINT32, GGUFValueType.INT32, GGUFValueType.UINT64, GGUFValueType.INT64]:
        writer.add_key_value(f"test.{kind.name.lower()}", 7 if kind.name.startswith("U") else -7, kind)
    writer.add_float32("test.float32", 0.1)
    writer.add_float64("test.float64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "sörup")
    writer.add_array("test.words", ["a", "", "c"])
    writer.add_array("test.numbers", [1, -2, 3])
    expected = {}

    def add(kind, raw):
        writer.add_tensor(kind.name.lower(), raw, raw_dtype=kind)
        expected[kind.name.lower()] = quants.dequantize(raw, kind)

    numbers = random.normal(size=(2, 3, 5)).astype(np.float32)
    writer.add_tensor("f32", numbers)
    expected["f32"] = numbers
    writer.add_tensor("f16", numbers.astype(np.float16))
    expected["f16"] = quants.dequantize(numbers.astype(np.float16), Type.F16)
    add(Type.BF16, quants.quantize(numbers, Type.BF16))
    for kind in [Type.Q8_0, Type.Q4_0, Type.Q4_1]:
        add(kind, blocks(random, kind))
    finish(writer)
    save_file(expected, FOLDER / "types.safetensors")


def permute(weight, heads):
    """LlamaModel.permute of llama.cpp's convert_hf_to_gguf.py."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write_llama():
    random = np.random.default_rng(2)
    writer = GGUFWriter(FOLDER / "llama.gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(50000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(["<s>", "</s>", "a", "b", "ab"])
    writer.add_token_types([3, 3, 1, 1, 1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{{ messages }}")
    expected = {}

    def add(gguf_name, name, shape, heads=0):
        weight = random.normal(size=shape).astype(np.float32)
        expected[name + ".weight"] = weight
        writer.add_tensor(gguf_name + ".weight", np.ascontiguousarray(permute(weight, heads)) if heads else weight)

    head = HIDDEN // HEADS
    add("token_embd", "model.embed_tokens", (VOCABULARY, HIDDEN))
    for layer in range(LAYERS):
        gguf, ours = f"blk.{layer}.", f"model.layers.{layer}."
        add(gguf + "attn_q", ours + "self_attn.q_proj", (HIDDEN, HIDDEN), HEADS)
        add(gguf + "attn_k", ours + "self_attn.k_proj", (KV_HEADS * head, HIDDEN), KV_HEADS)
        add(gguf + "attn_v", ours + "self_attn.v_proj", (KV_HEADS * head, HIDDEN))
        add(gguf + "attn_output", ours + "self_attn.o_proj", (HIDDEN, HIDDEN))
        add(gguf + "ffn_gate", ours + "mlp.gate_proj", (INNER, HIDDEN))
        add(gguf + "ffn_up", ours + "mlp.up_proj", (INNER, HIDDEN))
        add(gguf + "ffn_down", ours + "mlp.down_proj", (HIDDEN, INNER))
        add(gguf + "attn_norm", ours + "input_layernorm", (HIDDEN,))
        add(gguf + "ffn_norm", ours + "post_attention_layernorm", (HIDDEN,))
    add("output_norm", "model.norm", (HIDDEN,))
    finish(writer)
    save_file(expected, FOLDER / "llama.safetensors")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_types()
    write_llama()
    for path in sorted(FOLDER.glob("*.*")):
        print(f"{path}: {path.stat().st_size} bytes")
