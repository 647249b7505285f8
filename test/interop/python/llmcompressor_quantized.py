"""Quantises a small model with llm-compressor's GPTQ: FOLDER TOKENS BITS:SYMMETRIC:OUTPUT...

With "smooth" instead of true or false by SmoothQuant, weights and inputs in 8 bits.
"""

import json
import sys

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from transformers import AutoModelForCausalLM

folder, tokens, *runs = sys.argv[1:]
rows = json.load(open(tokens))
for run in runs:
    bits, symmetric, output = run.split(":", 2)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    smooth = symmetric == "smooth"
    weights = QuantizationArgs(num_bits=int(bits), group_size=32, strategy="group", symmetric=symmetric == "true")
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    recipe = GPTQModifier(config_groups={"all": scheme}, ignore=["lm_head"])
    if smooth:
        readers = [[["re:.*q_proj", "re:.*k_proj", "re:.*v_proj"], "re:.*input_layernorm"]]
        readers.append([["re:.*gate_proj", "re:.*up_proj"], "re:.*post_attention_layernorm"])
        rounded = QuantizationModifier(targets="Linear", scheme="W8A8", ignore=["lm_head"])
        recipe = [SmoothQuantModifier(smoothing_strength=0.5, mappings=readers), rounded]
    data = Dataset.from_dict({"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]})
    oneshot(model=model, dataset=data, recipe=recipe, max_seq_length=len(rows[0]), num_calibration_samples=len(rows))
    model.save_pretrained(output, save_compressed=True)
