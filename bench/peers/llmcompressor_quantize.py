"""Quantises a model with llm-compressor: FOLDER TEXT METHOD WINDOWS OUTPUT RESULT

4 bits, groups of 64, lm_head left, the first windows of 512 tokens of a text that is tokenised as one without special
tokens. METHOD is gptq (symmetric), awq (with zero points) or smoothquant (weights and inputs of 8 bits). Writes seconds and peak memory of quantising as JSON.
"""

import json
import resource
import sys
import time

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.awq import AWQModifier
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, text, method, count, output, result = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
tokens = tokenizer(open(text).read(), add_special_tokens=False)["input_ids"]
windows = [tokens[i * 512 : (i + 1) * 512] for i in range(int(count))]
data = Dataset.from_dict({"input_ids": windows, "attention_mask": [[1] * 512] * len(windows)})
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
weights = QuantizationArgs(num_bits=4, group_size=64, strategy="group", symmetric=method == "gptq")
scheme = QuantizationScheme(targets=["Linear"], weights=weights)
if method == "smoothquant":
    eight_bits = QuantizationModifier(targets="Linear", scheme="W8A8", ignore=["lm_head"])
    recipe = [SmoothQuantModifier(smoothing_strength=0.5), eight_bits]
else:
    modifier = {"gptq": GPTQModifier, "awq": AWQModifier}[method]
    recipe = modifier(config_groups={"group_0": scheme}, ignore=["lm_head"])
# Its AWQ pins memory for a GPU even where there is none.
if not torch.cuda.is_available():
    torch.Tensor.pin_memory = lambda tensor, *_: tensor
started = time.time()
oneshot(model=model, dataset=data, recipe=recipe, max_seq_length=512, num_calibration_samples=len(windows), batch_size=4)
seconds = time.time() - started
model.save_pretrained(output, save_compressed=True)
tokenizer.save_pretrained(output)
memory = resource.getrusage(resource.RUSAGE_SELF)
json.dump(
    {"seconds": seconds, "processor": memory.ru_utime + memory.ru_stime, "peakBytes": memory.ru_maxrss * 1024},
    open(result, "w"),
)
