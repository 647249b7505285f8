"""Scores tasks of lm-evaluation-harness, with data from JSON-lines files.

    lm_eval_reference.py MODEL.gguf DATA_FOLDER TASK_FOLDER OUT.json ROWS GENERATED_ROWS NEW_TOKENS

The tasks are those of the lm_eval package itself; only where their data come from is replaced. Writes, for each task, the
results, and for each sample what was asked (arguments), what came back (resps), and the target.
"""

import json
import sys
import time
from pathlib import Path

import lm_eval
import torch
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, AutoTokenizer

HARNESS = Path(lm_eval.__file__).parent / "tasks"


def main(gguf, data, folder, out, rows, generated_rows, new_tokens):
    gguf, data, folder = Path(gguf), Path(data), Path(folder)
    mc = data / "eval-mc"

    def task(name, include, files, **overrides):
        config = {
            "include": str(HARNESS / include),
            "task": name,
            "tag": None,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {split: str(file) for split, file in files.items()}},
            **overrides,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))

    validation = {"training_split": None, "test_split": None}
    task("own_arc_easy", "arc/arc_easy.yaml", {"validation": mc / "arc_easy.validation.jsonl"}, **validation)
    task("own_arc_challenge", "arc/arc_easy.yaml", {"validation": mc / "arc_challenge.validation.jsonl"}, **validation)
    task(
        "own_boolq",
        "super_glue/boolq/default.yaml",
        {"validation": mc / "boolq.validation.jsonl"},
        doc_to_target="{{answer|int}}",
        **validation,
    )
    task("own_winogrande", "winogrande/default.yaml", {"validation": mc / "winogrande_xl.validation.jsonl"}, **validation)
    task(
        "own_gsm8k",
        "gsm8k/gsm8k.yaml",
        {"train": data / "gsm8k/train.jsonl", "test": data / "gsm8k/test.jsonl"},
        generation_kwargs={"until": ["Question:", "</s>", "<|im_end|>"], "max_gen_toks": int(new_tokens)},
    )
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    lm = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=4, device="cpu")
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    report = {}
    for name in ["arc_easy", "arc_challenge", "boolq", "winogrande", "gsm8k"]:
        limit = int(generated_rows if name == "gsm8k" else rows)
        start = time.perf_counter()
        outcome = lm_eval.simple_evaluate(
            model=lm, tasks=[f"own_{name}"], task_manager=manager, limit=limit, log_samples=True, bootstrap_iters=100
        )
        seconds = time.perf_counter() - start
        keys = ["doc_id", "target", "arguments", "resps", "filtered_resps", "filter"]
        report[name] = {
            "seconds": seconds,
            "results": outcome["results"][f"own_{name}"],
            "samples": [{key: sample[key] for key in keys} for sample in outcome["samples"][f"own_{name}"]],
        }
    Path(out).write_text(json.dumps(report, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
