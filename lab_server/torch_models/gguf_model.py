"""A llama-architecture GGUF file as a PyTorch model and its tokenizer.

transformers can read GGUF itself, but takes 17 s for what this does in under 5, and then cannot save or train it.
The weights are dequantised: an adapter is trained against the very values that the engine computes with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attestations.errors import FileUnusable
from lab_server.torch_models.text import TextSide

_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_CONTROL = 3  # llama.cpp's token type of control tokens


def load_gguf(path: Path) -> tuple[Any, TextSide, int]:
    """Return model, text side and context length.

    Raises:
        FileUnusable: it cannot be read, or is of another architecture or tokenizer.
    """
    import gguf  # noqa: PLC0415 - needed only here

    try:
        reader = gguf.GGUFReader(path)
    except (OSError, ValueError):
        raise FileUnusable("the model file cannot be read", file=path.name) from None
    meta = {name: field.contents() for name, field in reader.fields.items()}
    if meta.get("general.architecture") != "llama" or meta.get("tokenizer.ggml.pre") != "smollm":
        raise FileUnusable(
            "only llama-architecture GGUF files with the smollm tokenizer can be trained; give others as safetensors",
            file=path.name,
        )
    model = _model(reader, meta)
    return model, _text_side(meta), int(meta["llama.context_length"])


def unpermuted(weight: Any, heads: int) -> Any:
    """Return rows of a query or key matrix in transformers' order; llama.cpp interleaves the halves of each head."""
    rows, *rest = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, *rest).swapaxes(1, 2).reshape(weight.shape)


def permuted(weight: Any, heads: int) -> Any:
    """Return rows of a query or key matrix in llama.cpp's order: what undoes `unpermuted`."""
    rows, *rest = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, *rest).swapaxes(1, 2).reshape(weight.shape)


def _model(reader: Any, meta: dict[str, Any]) -> Any:
    import numpy as np  # noqa: PLC0415 - comes with PyTorch's users, not with the lab
    import torch  # noqa: PLC0415
    from gguf.quants import dequantize  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding  # noqa: PLC0415

    heads, kv_heads = int(meta["llama.attention.head_count"]), int(meta["llama.attention.head_count_kv"])
    state = {}
    for tensor in reader.tensors:
        values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        name = tensor.name.removesuffix(".weight")
        if name.startswith("blk."):
            _, layer, part = name.split(".")
            if part in ("attn_q", "attn_k"):
                values = unpermuted(values, heads if part == "attn_q" else kv_heads)
            target = f"model.layers.{layer}.{_LAYER[part]}.weight"
        else:
            target = f"{_TOP[name]}.weight"
        state[target] = torch.from_numpy(np.ascontiguousarray(values))
    tied = "lm_head.weight" not in state
    config = LlamaConfig(
        vocab_size=state["model.embed_tokens.weight"].shape[0],
        hidden_size=int(meta["llama.embedding_length"]),
        intermediate_size=int(meta["llama.feed_forward_length"]),
        num_hidden_layers=int(meta["llama.block_count"]),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=int(meta["llama.context_length"]),
        rms_norm_eps=float(meta["llama.attention.layer_norm_rms_epsilon"]),
        rope_theta=float(meta.get("llama.rope.freq_base", 10000.0)),
        tie_word_embeddings=tied,
        attention_bias=False,
    )
    if tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    with torch.device("meta"):  # drawing values that the next line replaces would take half of the time
        model = LlamaForCausalLM(config)
    model.load_state_dict(state, strict=True, assign=True)
    model.model.rotary_emb = LlamaRotaryEmbedding(config)  # computed, not stored
    if tied:
        model.tie_weights()
    return model.eval()


def _text_side(meta: dict[str, Any]) -> TextSide:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415 - needed only here

    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(line.split(" ", 1)) for line in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    # What llama.cpp calls "smollm": digits one by one, then GPT-2's words as bytes.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = meta["tokenizer.ggml.token_type"]
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True) for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    )
    end = int(meta["tokenizer.ggml.eos_token_id"])
    begin = meta.get("tokenizer.ggml.bos_token_id")
    return TextSide(
        tokenizer,
        str(meta.get("tokenizer.chat_template") or ""),
        end,
        tokens[end],
        "" if begin is None else tokens[int(begin)],
    )
