"""Greedy decoding with llama.cpp: "decode N" or "prefill N" in, a line of JSON with the time out. Peer of bench/decode.mjs."""

import json
import resource
import sys
import time

import llama_cpp
import numpy as np

MODEL, THREADS, PROMPT = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])


def main():
    started = time.perf_counter()
    model = llama_cpp.Llama(
        MODEL, n_ctx=4096, n_batch=2048, n_ubatch=512, n_threads=THREADS, n_threads_batch=THREADS, verbose=False
    )
    load = time.perf_counter() - started
    context = model._ctx.ctx
    vocabulary = model.n_vocab()

    def step(tokens):
        """Feeds tokens and takes the likeliest next one, through the C interface."""
        array = (llama_cpp.llama_token * len(tokens))(*tokens)  # the batch only points to it
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(tokens))) != 0:
            raise RuntimeError("llama_decode failed")
        return int(np.argmax(np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, -1), (vocabulary,))))

    print(json.dumps({"peer": f"llama.cpp (llama-cpp-python {llama_cpp.__version__})", "load": load}), flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            return
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        work, count = line.split()
        token = step(PROMPT) if work == "decode" else None
        start, cpu = time.perf_counter(), time.process_time()
        if work == "decode":
            for _ in range(int(count)):
                token = step([token])
        else:
            step([1 + i * 7919 % (vocabulary - 1) for i in range(int(count))])
        seconds, processor = time.perf_counter() - start, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak}), flush=True)


if __name__ == "__main__":
    main()
