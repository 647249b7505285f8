"""The PyTorch side of the benchmarks: one JSON line per measured repetition, so that the caller can alternate.

Reads one command per line on standard input ("lora bf16", "full bf16", "prefill f32 512", "decode bf16", "quit") and
answers with {"seconds": ..., "processor": seconds of all threads, "peak": bytes of the process at most} when that piece
of work is done. Weights are random; the
shape is that of SmolLM2-135M. With "compile" as the second argument the model of a training step goes through torch.compile.
"""

import json
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads()
COMPILE = sys.argv[2:] == ["compile"]
BATCH, LENGTH, RANK = 4, 512, 16

torch.set_num_threads(THREADS)
torch.manual_seed(0)


def make_model(dtype, lora):
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        intermediate_size=1536,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).to(dtype)
    if lora:
        model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=32, target_modules="all-linear"))
    return model


class TrainingStep:
    """Forward, backward, clip and AdamW over 4 rows of 512 tokens, every token a target."""

    def __init__(self, dtype, lora):
        self.model = make_model(dtype, lora)
        self.model.train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4)
        self.tokens = torch.randint(0, 49152, (BATCH, LENGTH))
        if COMPILE:
            self.model = torch.compile(self.model)

    def run(self):
        loss = self.model(input_ids=self.tokens, labels=self.tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        loss.item()


class Prefill:
    """One prompt to the logits of its last token."""

    def __init__(self, dtype, length):
        self.model = make_model(dtype, lora=False).eval()
        self.tokens = torch.randint(0, 49152, (1, length))

    def run(self):
        with torch.inference_mode():
            self.model(input_ids=self.tokens, use_cache=True, logits_to_keep=1).logits.sum().item()


class Decode:
    """128 tokens of one sequence, each the likeliest."""

    def __init__(self, dtype):
        self.model = make_model(dtype, lora=False).eval()
        self.tokens = torch.randint(0, 49152, (1, 8))

    @torch.inference_mode()
    def run(self):
        out = self.model(input_ids=self.tokens, use_cache=True, logits_to_keep=1)
        clock = Clock()
        for _ in range(128):
            token = out.logits[:, -1:].argmax(-1)
            out = self.model(input_ids=token, past_key_values=out.past_key_values, use_cache=True, logits_to_keep=1)
        return clock.read()


class Clock:
    """The time since it was made: what passed, and what processors worked for this process."""

    def __init__(self):
        self.seconds, self.processor = time.perf_counter(), time.process_time()

    def read(self):
        return {"seconds": time.perf_counter() - self.seconds, "processor": time.process_time() - self.processor}


WORK = {
    "lora": lambda dtype: TrainingStep(dtype, lora=True),
    "full": lambda dtype: TrainingStep(dtype, lora=False),
    "prefill": lambda dtype, length: Prefill(dtype, int(length)),
    "decode": Decode,
}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def main():
    made = {}
    print(json.dumps({"peer": f"PyTorch {torch.__version__} {'compiled' if COMPILE else 'eager'}", "threads": THREADS}), flush=True)
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            return
        work = made.get(line)
        if work is None:
            made.clear()
            work = made[line] = WORK[words[0]](DTYPES[words[1]], *words[2:])
            work.run()
        clock = Clock()
        # A piece of work that has a preparation measures itself.
        measured = work.run() or clock.read()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({**measured, "peak": peak}), flush=True)


if __name__ == "__main__":
    main()
