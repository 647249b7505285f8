"""Quantises a model with GPTQModel: FOLDER TEXT METHOD WINDOWS OUTPUT RESULT

4 bits, groups of 64, the first windows of 512 tokens of a text that is tokenised as one without special tokens. METHOD
is gptq (symmetric) or gptaq. Writes seconds and peak memory of quantising as JSON.
"""

import json
import os
import resource
import sys
import time

# It would have its kernels compiled, for longer than everything else takes.
os.environ["TORCHDYNAMO_DISABLE"] = "1"

import gptqmodel
import torch
from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
from gptqmodel.quantization.config import GPTAQConfig
from transformers import AutoTokenizer

# On two cores it would make one worker, and then refuse to share it.
gptqmodel._default_cpu_workers = lambda: 2
folder, text, method, count, output, result = sys.argv[1:]
tokens = AutoTokenizer.from_pretrained(folder)(open(text).read(), add_special_tokens=False)["input_ids"]
windows = [tokens[i * 512 : (i + 1) * 512] for i in range(int(count))]
config = QuantizeConfig(bits=4, group_size=64, gptaq=GPTAQConfig() if method == "gptaq" else None, offload_to_disk=False, pack_impl="original")
model = GPTQModel.load(folder, config, device="cpu", backend=BACKEND.TORCH, dtype=torch.bfloat16)
started = time.time()
model.quantize([{"input_ids": window, "attention_mask": [1] * 512} for window in windows], batch_size=4)
seconds = time.time() - started
model.save(output)
memory = resource.getrusage(resource.RUSAGE_SELF)
json.dump(
    {"seconds": seconds, "processor": memory.ru_utime + memory.ru_stime, "peakBytes": memory.ru_maxrss * 1024},
    open(result, "w"),
)
