"""Scores tasks of lm-evaluation-harness, with data from JSON-lines files.

    lm_eval_reference.py MODEL.gguf DATA_FOLDER TASK_FOLDER OUT.json ROWS GENERATED_ROWS NEW_TOKENS [BATCH [TASK]]

The tasks are those of the lm_eval package itself, but for `own_text`, likelihoods of whole texts of WikiText-2; where their
data come from is replaced. Tasks of 0 rows are left out, with TASK all others too. Writes, for each task, the results, the
seconds that the model took (its tokenizer included, prompts and sums not), and for each sample what was asked (arguments), what
came back (resps), the target and the scores.
"""

import json
import re
import sys
import time
from pathlib import Path

import lm_eval
import torch
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

HARNESS = Path(lm_eval.__file__).parent / "tasks"


def texts(file, folder):
    """The beginnings of the articles of a WikiText file as rows."""
    articles = re.split(r"\n(?= = [^=])", Path(file).read_text(encoding="utf8"))
    rows = [{"text": article[:4000]} for article in articles if len(article) > 200]
    path = folder / "articles.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def timed(lm):
    """Sums up the seconds of the requests to a model in what it returns."""
    taken = {"seconds": 0.0}
    for name in ["loglikelihood", "loglikelihood_rolling", "generate_until"]:

        def run(*args, method=getattr(lm, name), **options):
            start = time.perf_counter()
            try:
                return method(*args, **options)
            finally:
                taken["seconds"] += time.perf_counter() - start

        setattr(lm, name, run)
    return taken


def main(gguf, data, folder, out, rows, generated_rows, new_tokens, batch="4", only=None):
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
    document = {
        "task": "own_text",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(texts(data / "wikitext-2/test.txt", folder))}},
        "output_type": "loglikelihood_rolling",
        "test_split": "test",
        "doc_to_text": "",
        "doc_to_target": "text",
        "metric_list": [{"metric": name} for name in ["word_perplexity", "byte_perplexity", "bits_per_byte"]],
    }
    (folder / "own_text.yaml").write_text(yaml.safe_dump(document))
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # SmolLM2's own tokenizer splits digits before words, as llama.cpp does; of a GGUF transformers makes one that does so
    # after, which cuts "  1" into other tokens.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    lm = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=int(batch), device="cpu")
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    report = {}
    taken = timed(lm)
    for name in ["arc_easy", "arc_challenge", "boolq", "winogrande", "text", "gsm8k"]:
        limit = {"gsm8k": int(generated_rows), "text": min(int(rows), 3)}.get(name, int(rows))
        if limit == 0 or only not in (None, name):
            continue
        taken["seconds"] = 0.0
        outcome = lm_eval.simple_evaluate(
            model=lm, tasks=[f"own_{name}"], task_manager=manager, limit=limit, log_samples=True, bootstrap_iters=100
        )
        keys = ["doc_id", "target", "arguments", "resps", "filtered_resps", "filter", "acc", "acc_norm", "exact_match"]
        report[name] = {
            "seconds": taken["seconds"],
            "results": outcome["results"][f"own_{name}"],
            "samples": [{key: sample[key] for key in keys if key in sample} for sample in outcome["samples"][f"own_{name}"]],
        }
    Path(out).write_text(json.dumps(report, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
