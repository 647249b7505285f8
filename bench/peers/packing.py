"""datasets.map with a fast tokenizer, then TRL's packing: FILE TOKENIZER LENGTH PROCESSES CACHE; prints a line of JSON."""

import json
import resource
import sys
import time

from datasets import load_dataset
from transformers import AutoTokenizer
from trl import pack_dataset

file, folder, length, processes, cache = sys.argv[1:]
start = time.perf_counter()
tokenizer = AutoTokenizer.from_pretrained(folder)
rows = load_dataset("json", data_files=file, split="train", cache_dir=cache)


def encode(batch):
    texts = [text + tokenizer.eos_token for text in batch["text"]]
    return {"input_ids": tokenizer(texts, add_special_tokens=False)["input_ids"]}


encoded = rows.map(encode, batched=True, remove_columns=rows.column_names, num_proc=int(processes))
packed = pack_dataset(encoded, int(length), "bfd")
seconds = time.perf_counter() - start
tokens = sum(sum(lengths) for lengths in packed["seq_lengths"][:])
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps({"seconds": seconds, "packed": len(packed), "tokens": tokens, "memory": peak / 1024}))
