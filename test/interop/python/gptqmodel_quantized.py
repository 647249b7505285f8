"""Quantises a small model with GPTQModel: FOLDER TOKENS OUTPUT-OF-GPTQ OUTPUT-OF-AWQ. GPTQ is symmetric, with act-order."""

import json
import os
import sys

os.environ["TORCHDYNAMO_DISABLE"] = "1"

import gptqmodel
import torch
from gptqmodel import GPTQModel, QuantizeConfig

# On two cores it would make one worker, and then refuse to share it.
gptqmodel._default_cpu_workers = lambda: 2
folder, tokens, *outputs = sys.argv[1:]
rows = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in json.load(open(tokens))]
methods = [{"desc_act": True, "act_group_aware": False}, {"quant_method": "awq", "format": "gemm"}]
for output, method in zip(outputs, methods):
    config = QuantizeConfig(bits=4, group_size=32, offload_to_disk=False, pack_impl="original", **method)
    model = GPTQModel.load(folder, config, device="cpu", dtype=torch.bfloat16)
    model.quantize(rows, batch_size=4)
    model.save(output)
