"""Results and gradients of PyTorch for the operations in gradients/cases.ts, in float64, on the values drawn there.

gradients.py FOLDER reads cases.json and drawn.safetensors, and writes expected.safetensors.
"""

import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

ACTIVATIONS = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def add(v, alpha, beta):
    return alpha * v["a"] + beta * v["b"]


def activation(v, kind):
    return ACTIVATIONS[kind](v["x"])


def glu(v, kind):
    return ACTIVATIONS[kind](v["gate"]) * v["up"]


def softcap(v, cap):
    return cap * torch.tanh(v["x"] / cap)


def dropout(v):
    return v["x"] * v["mask"]


def narrow(v):
    x = v["x"]
    return x[1:5], x[3:6], x[:, 5:12]


def linear(v, activation=None, scale=None):
    y = F.linear(v["x"], v["weight"], v.get("bias"))
    if scale is not None:
        x = v["x"] * v["mask"] if "mask" in v else v["x"]
        y = y + scale * F.linear(F.linear(x, v["a"]), v["b"])
    return ACTIVATIONS[activation](y) if activation else y


def norm(v, kind, eps, weightOffset):
    x = v["x"] + v["residual"] if "residual" in v else v["x"]
    size = x.shape[-1:]
    if kind == "rms":
        y = F.rms_norm(x, size, v["weight"] + weightOffset, eps)
    else:
        y = F.layer_norm(x, size, v["weight"], v["bias"], eps)
    return (y, x) if "residual" in v else y


def attention(v, sequences, causal, window=0, softcap=0):
    q, k, v_ = (v[name].transpose(0, 1) for name in "qkv")
    groups = q.shape[0] // k.shape[0]
    k, v_ = k.repeat_interleave(groups, 0), v_.repeat_interleave(groups, 0)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    rows = torch.arange(scores.shape[-1])
    owner = torch.bucketize(rows, torch.tensor(sequences[1:]), right=True)
    distance = rows[:, None] - rows[None, :]
    seen = owner[:, None] == owner[None, :]
    if causal:
        seen = seen & (distance >= 0)
    if window:
        seen = seen & (distance < window)
    return (scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v_).transpose(0, 1)


def rope(v, interleaved, scale, positions, frequencies):
    x = v["x"]
    angles = torch.tensor(positions, dtype=x.dtype)[:, None] * torch.tensor(frequencies, dtype=x.dtype)[None, :]
    cos, sin = scale * angles.cos()[:, None, :], scale * angles.sin()[:, None, :]
    half = len(frequencies)
    turned, rest = x[..., : 2 * half], x[..., 2 * half :]
    if interleaved:
        a, b = turned[..., 0::2], turned[..., 1::2]
        out = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
    else:
        a, b = turned[..., :half], turned[..., half:]
        out = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
    return torch.cat([out, rest], -1)


def embedding(v, ids, types, scale):
    return scale * (F.embedding(torch.tensor(ids), v["table"]) + F.embedding(torch.tensor(types), v["types"]))


def gather(v, ids):
    return v["x"][torch.tensor(ids)]


def mean_pool(v, sequences):
    return torch.stack([v["x"][a:b].mean(0) for a, b in zip(sequences, sequences[1:])])


def cross_entropy(v, labels, labelSmoothing=0.0, softcap=0, logitScale=1):
    logits = logitScale * F.linear(v["x"], v["head"], v.get("bias"))
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    labels = torch.tensor(labels)
    value = F.cross_entropy(logits, labels, reduction="none")
    loss = F.cross_entropy(logits, labels, reduction="none", label_smoothing=labelSmoothing)
    # The engine reports -log p(label), and follows the gradient of the smoothed loss.
    return value.detach() + loss - loss.detach()


def experts(v, topK, normalize):
    x = v["x"]
    weights, chosen = v["logits"].softmax(-1).topk(topK)
    if normalize:
        weights = weights / weights.sum(-1, keepdim=True)
    out = torch.zeros_like(x)
    for slot in range(topK):
        wide, narrow_ = v["wide"][chosen[:, slot]], v["narrow"][chosen[:, slot]]
        inner = F.silu(torch.einsum("tk,tnk->tn", x, wide))
        out = out + weights[:, slot, None] * torch.einsum("tn,tkn->tk", inner, narrow_)
    return out


PEERS = {
    **{f.__name__: f for f in (add, activation, glu, softcap, dropout, narrow, linear, norm, attention, rope)},
    **{f.__name__: f for f in (embedding, gather, experts)},
    "meanPool": mean_pool,
    "crossEntropy": cross_entropy,
}


def main(folder):
    drawn = load_file(folder / "drawn.safetensors")
    expected = {}
    for case in json.loads((folder / "cases.json").read_text()):
        prefix = case["name"] + "/"
        values = {key[len(prefix) :]: t.double() for key, t in drawn.items() if key.startswith(prefix)}
        seeds = [values.pop(f"seed{i}") for i in range(sum(key.startswith("seed") for key in values))]
        for name, value in values.items():
            value.requires_grad = name in case["leaves"]
        outputs = PEERS[case["peer"]](values, **case["options"])
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        torch.autograd.backward(outputs, seeds)
        results = {f"out{i}": output.detach() for i, output in enumerate(outputs)}
        results |= {name: values[name].grad for name in case["leaves"]}
        expected |= {prefix + name: value.float().contiguous().clone() for name, value in results.items()}
    save_file(expected, folder / "expected.safetensors")


main(Path(sys.argv[1]))
