"""Logits of a model's folder by transformers in float32.

    logits.py MODEL TOKENS.json LOGITS.npy
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM


def main(model, tokens, out):
    tokens = torch.tensor([json.loads(Path(tokens).read_text())])
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.inference_mode():
        np.save(out, loaded(tokens).logits[0].numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
