"""What transformers' tokenizers make of texts and conversations.

    tokenizers_reference.py JOBS.json OUT.json

A job names a folder (and a GGUF file in it, or none), texts, and conversations for the chat template. Answers: ids with and
without special tokens, both decodings of the ids with them, and the rendered conversations.
"""

import json
import sys
from pathlib import Path

from tokenizers import pre_tokenizers
from transformers import AutoTokenizer


def answer(job):
    options = {"gguf_file": job["gguf"]} if job.get("gguf") else {}
    tokenizer = AutoTokenizer.from_pretrained(job["folder"], **options)
    if options:
        # What it reads from GGUF forgets how the SmolLM family, as its tokenizer.json says, sets digits apart.
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    texts = []
    for text in job["texts"]:
        ids = tokenizer(text).input_ids
        texts.append({
            "ids": ids,
            "bare": tokenizer(text, add_special_tokens=False).input_ids,
            "decoded": tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False),
            "skipped": tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
        })
    chats = [
        tokenizer.apply_chat_template(
            chat["messages"], tools=chat.get("tools"), add_generation_prompt=chat["prompt"], tokenize=False
        )
        for chat in job["chats"]
    ]
    return {"texts": texts, "chats": chats}


def main(jobs, out):
    Path(out).write_text(json.dumps([answer(job) for job in json.loads(Path(jobs).read_text())]))


if __name__ == "__main__":
    main(*sys.argv[1:])
