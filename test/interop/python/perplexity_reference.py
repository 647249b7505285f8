"""Perplexity as transformers' guide "Perplexity of fixed-length models" computes it.

Usage: perplexity_reference.py MODEL.gguf TEXT OUT.json WINDOWS SPEC...
A SPEC is dtype:window:stride. OUT.json gets a list of perplexities, in the order of the specs.
"""

import json
import math
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

path, text_file, out_file, count = sys.argv[1:5]
folder, name = os.path.split(path)
with open(text_file, encoding="utf8", newline="") as file:
    text = file.read()
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])


def perplexity(model, window, stride):
    total, scored, previous = 0.0, 0, 0
    for start in [stride * i for i in range(int(count))]:
        end = start + window
        inputs = ids[:, start:end]
        targets = inputs.clone()
        targets[:, : -(end - previous)] = -100
        with torch.no_grad():
            loss = model(inputs, labels=targets).loss.item()
        valid = int((targets[:, 1:] != -100).sum())
        total += loss * valid
        scored += valid
        previous = end
    return math.exp(total / scored)


figures = []
for spec in sys.argv[5:]:
    dtype, window, stride = spec.split(":")
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=getattr(torch, dtype)).eval()
    figures.append(perplexity(model, int(window), int(stride)))
with open(out_file, "w") as file:
    json.dump(figures, file)
