"""Writes a GGUF model as a Hugging Face folder in bf16, for peers that do not read its own bits: GGUF FILE FOLDER"""

import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

file, folder = sys.argv[1:]
where = {"pretrained_model_name_or_path": os.path.dirname(file), "gguf_file": os.path.basename(file)}
read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16)
# What was read from a GGUF file counts as quantised and refuses to be saved; its copy does not.
read.config.__dict__.pop("quantization_config", None)
copy = AutoModelForCausalLM.from_config(read.config, dtype=torch.bfloat16)
copy.load_state_dict(read.state_dict())
copy.save_pretrained(folder)
AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
