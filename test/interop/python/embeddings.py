"""Vectors of texts by transformers in float32: the mean of the last hidden states, as unit vectors.

    embeddings.py MODEL TEXTS.json OUT.npy      (a sentence encoder's folder, or a .gguf file of a decoder)
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer


def main(path, texts, out):
    path = Path(path)
    source = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    folder = path.parent if source else path
    tokenizer = AutoTokenizer.from_pretrained(folder, **source)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, **source).eval()
    vectors = []
    with torch.inference_mode():
        for text in json.loads(Path(texts).read_text()):
            mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
            vectors.append((mean / mean.norm()).numpy())
    np.save(out, np.stack(vectors).astype(np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
