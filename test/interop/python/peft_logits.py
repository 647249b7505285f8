"""Logits of a GGUF model with a PEFT adapter, and of a merged model, by transformers and PEFT in float32.

    peft_logits.py MODEL.gguf ADAPTER MERGED TOKENS.json ADAPTED.npy MERGED.npy
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(gguf, adapter, merged, tokens_path, adapted_path, merged_path):
    gguf = Path(gguf)
    tokens = torch.tensor([json.loads(Path(tokens_path).read_text())])
    base = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    with torch.inference_mode():
        model = PeftModel.from_pretrained(base, adapter).eval()
        np.save(adapted_path, model(tokens).logits[0].numpy())
        model = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()
        np.save(merged_path, model(tokens).logits[0].numpy())
    # The tokenizer that was saved beside the merged model must render and encode as it did.
    tokenizer = AutoTokenizer.from_pretrained(merged)
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True)
    print(json.dumps({"chat": chat, "ids": tokenizer(chat, add_special_tokens=False).input_ids}))


if __name__ == "__main__":
    main(*sys.argv[1:])
