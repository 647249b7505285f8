"""Greedy continuations and logits of a GGUF model by transformers, everything dequantised to float32.

    greedy_reference.py MODEL.gguf PROMPTS.json OUT.json LOGITS.npy

Writes, for each prompt, its token ids, 64 greedy tokens, and the gap between the two best logits at each of them; and the
logits of every position of the first prompt.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

NEW_TOKENS = 64


def main(gguf, prompts_path, out_path, logits_path):
    gguf = Path(gguf)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    rows = []
    with torch.inference_mode():
        for i, prompt in enumerate(json.loads(Path(prompts_path).read_text())):
            ids = tokenizer(prompt, add_special_tokens=False).input_ids
            if i == 0:
                np.save(logits_path, model(torch.tensor([ids])).logits[0].numpy())
            tokens, gaps = [], []
            step, cache = torch.tensor([ids]), None
            for _ in range(NEW_TOKENS):
                out = model(step, past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                best = out.logits[0, -1].topk(2)
                tokens.append(best.indices[0].item())
                gaps.append((best.values[0] - best.values[1]).item())
                step = best.indices[:1].view(1, 1)
            rows.append({"prompt": ids, "tokens": tokens, "gaps": gaps})
    Path(out_path).write_text(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
