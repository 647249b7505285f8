"""The PyTorch side of bench/decisions.mjs: a text to the shares of its classes, as sentence-transformers and a linear head do.

    encoder.py THREADS FOLDER CLASSES

Reads {"texts": [...]} per line, or "quit"; answers with {"seconds": ...}. The encoder is transformers' in f32, mean-pooled
and normalised; the head's weights are random.
"""

import json
import sys
import time

import torch
from transformers import AutoModel, AutoTokenizer

THREADS, FOLDER, CLASSES = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
torch.set_num_threads(THREADS)


@torch.inference_mode()
def classify(tokenizer, model, head, texts):
    batch = tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
    mask = batch["attention_mask"].unsqueeze(-1)
    pooled = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
    return (torch.nn.functional.normalize(pooled) @ head).softmax(-1).numpy()


def main():
    tokenizer, model = AutoTokenizer.from_pretrained(FOLDER), AutoModel.from_pretrained(FOLDER).eval()
    head = torch.randn(model.config.hidden_size, CLASSES)
    print(json.dumps({"peer": f"transformers on PyTorch {torch.__version__}"}), flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            return
        texts = json.loads(line)["texts"]
        start = time.perf_counter()
        classify(tokenizer, model, head, texts)
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main()
