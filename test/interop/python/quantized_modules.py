"""What transformers makes of quantised models: TOKENS FOLDER...

Loads each checkpoint with the loader that its quantization_config asks for. Writes the logits of a sequence of tokens and
the weight [N, K] of each quantised layer as that loader dequantises it, to FOLDER.safetensors.
"""

import json
import os
import sys

# GPTQModel would have its decoding compiled, for longer than everything else takes.
os.environ["TORCHDYNAMO_DISABLE"] = "1"

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AwqConfig, GPTQConfig

tokens = torch.tensor([json.load(open(sys.argv[1]))])


def dequantized(module, method):
    if method == "gptq":
        return module.dequantize_weight().T
    if method == "awq":
        from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm

        return dequantize_gemm(module.qweight, module.qzeros, module.scales, module.bits, module.group_size).T
    from compressed_tensors.compressors import decompress_module

    if hasattr(module, "weight_packed") or module.weight.dtype == torch.int8:
        decompress_module(module)
    return module.weight


for folder in sys.argv[2:]:
    config = json.load(open(f"{folder}/config.json"))["quantization_config"]
    method = config["quant_method"]
    # GPTQModel's kernels compute in f16; those that it would compile first are left aside.
    options = {"dtype": torch.float32}
    if method == "gptq":
        options = {"quantization_config": GPTQConfig(bits=config["bits"], backend="torch"), "dtype": torch.float16}
    if method == "awq":
        options = {"quantization_config": AwqConfig(backend="torch_awq"), "dtype": torch.float16}
    model = AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", **options).eval()
    out = {}
    with torch.no_grad():
        out["logits"] = model(tokens).logits[0]
        for name, module in model.named_modules():
            if hasattr(module, "qweight") or hasattr(module, "quantization_scheme"):
                out[name] = dequantized(module, method)
        if config.get("format") == "int-quantized":
            # Those were of inputs in 8 bits; the weights are floats by now, and inputs can stay as they are.
            from compressed_tensors.quantization import disable_quantization

            out["logits.8-bits"] = out["logits"]
            model.apply(disable_quantization)
            out["logits"] = model(tokens).logits[0]
    save_file({name: value.float().contiguous() for name, value in out.items()}, f"{folder}.safetensors")
