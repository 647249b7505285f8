"""TRL's side of the preference benchmark: one JSON line for each optimiser step, so that the caller can alternate.

    python preferences.py THREADS dpo|orpo LENGTHS

Trains a LoRA adapter (r 16 on all linear layers) of a random model of the shape of SmolLM2-135M in bf16, on pairs of these
lengths (JSON). Each line of standard input is one step, answered with {"seconds": ...};
"quit" ends it with {"peakBytes": ...}.
"""

import json
import os
import sys
import tempfile
import time
import warnings

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
warnings.filterwarnings("ignore")

import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import DPOConfig, DPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

THREADS, METHOD = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(THREADS)
torch.manual_seed(0)
ROWS = json.loads(sys.argv[3])
VOCABULARY = 49152


def tokenizer():
    words = {"<pad>": 0, "<s>": 1, "</s>": 2, **{f"w{i}": i for i in range(3, VOCABULARY)}}
    made = Tokenizer(WordLevel(words, unk_token="w3"))
    made.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def text(length, number):
    return " ".join(f"w{3 + (i * 7919 + number * 104729) % (VOCABULARY - 3)}" for i in range(length))


class Asked(TrainerCallback):
    """Takes a step when the caller asks for one."""

    def __init__(self):
        self.quit = False

    def on_step_begin(self, args, state, control, **kwargs):
        line = sys.stdin.readline().strip()
        if line in ("", "quit"):
            status = open("/proc/self/status").read()
            peak = next(int(row.split()[1]) * 1024 for row in status.splitlines() if row.startswith("VmHWM"))
            print(json.dumps({"peakBytes": peak}), flush=True)
            os._exit(0)
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        print(json.dumps({"seconds": time.perf_counter() - self.start}), flush=True)


def main():
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        intermediate_size=1536, max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    pairs = [
        {"prompt": text(row["prompt"], 3 * i), "chosen": " " + text(row["chosen"] - 1, 3 * i + 1),
         "rejected": " " + text(row["rejected"] - 1, 3 * i + 2)}
        for i, row in enumerate(ROWS)
    ]
    trainer_class, config_class = (DPOTrainer, DPOConfig) if METHOD == "dpo" else (ORPOTrainer, ORPOConfig)
    with tempfile.TemporaryDirectory() as work:
        settings = config_class(
            output_dir=work, max_steps=1000, per_device_train_batch_size=len(ROWS), bf16=True, use_cpu=True,
            gradient_checkpointing=False, report_to=[], save_strategy="no", logging_steps=1000000, disable_tqdm=True,
            train_sampling_strategy="sequential", max_length=1024, learning_rate=1e-4, lr_scheduler_type="constant",
            beta=0.1,
        )
        trainer = trainer_class(
            model=model, args=settings, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer(),
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[Asked()],
        )
        print(json.dumps({"peer": "TRL", "threads": THREADS}), flush=True)
        trainer.train()


if __name__ == "__main__":
    main()
