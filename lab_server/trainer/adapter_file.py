"""A trained adapter as the file a backend serves: GGUF for llama.cpp, safetensors for PyTorch.

llama.cpp keeps the rows of query and key matrices in another order than transformers, so `lora_B` of those two
moves with them; a file without it loads, and answers nonsense.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab_server.torch_models.adapting import FACTS
from lab_server.torch_models.gguf_model import permuted

GGUF_NAME = "adapter.gguf"
SAFETENSORS_NAME = "adapter.safetensors"
_PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path: Path, parameters: dict[str, Any], *, alpha: float, heads: int, kv_heads: int) -> None:
    """Write an adapter for llama.cpp; `parameters` has peft's names."""
    import gguf  # noqa: PLC0415 - in the job process only
    import numpy as np  # noqa: PLC0415

    unfinished = path.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name in sorted(parameters):
        layer, part, side = _place(name)
        values = parameters[name].detach().numpy().astype(np.float32)
        if side == "b" and part in ("attn_q", "attn_k"):
            values = np.ascontiguousarray(permuted(values, heads if part == "attn_q" else kv_heads))
        writer.add_tensor(f"blk.{layer}.{part}.weight.lora_{side}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.chmod(0o600)
    unfinished.replace(path)


def safetensors_bytes(parameters: dict[str, Any], *, rank: int, alpha: float) -> bytes:
    """Return an adapter for PyTorch; its own facts say how to scale it.

    They are one entry, `{"alpha":…,"rank":…}`: safetensors writes several in an order that changes from call to call.
    """
    from safetensors.torch import save  # noqa: PLC0415 - in the job process only

    tensors = {name: value.detach().contiguous() for name, value in parameters.items()}
    return bytes(save(tensors, metadata={FACTS: json.dumps({"alpha": alpha, "rank": rank})}))


def _place(name: str) -> tuple[int, str, str]:
    # base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight
    parts = name.split(".")
    at = parts.index("layers")
    return int(parts[at + 1]), _PARTS[".".join(parts[at + 2 : at + 4])], "a" if "lora_A" in parts else "b"
