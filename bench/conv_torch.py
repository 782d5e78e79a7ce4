#!/usr/bin/env python3
"""Convolution layers of conv_bench beside PyTorch's, channels_last, one thread of CPU time each:
    bench/conv_torch.py build/conv_bench --set mobilenet [--kind fwd] [--layer TEXT] [--rounds 3] [--reps 8]
Rounds take turns; a line has the minima in ms and PyTorch's over jepac's, the last one their sums and the least ratio."""
import argparse
import subprocess
import time

import torch


def layers(bench, args):
    """name, kind, n, c, h, k, kernel, stride, pad, groups of each line of conv_bench --list."""
    out = subprocess.run([bench, "--list", "yes"] + args, check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        word = line.split()
        yield word[0], word[1], *map(int, word[2:])


def peer(kind, n, c, h, k, kernel, stride, pad, groups):
    def cl(t):
        return t.contiguous(memory_format=torch.channels_last)

    x, w = cl(torch.randn(n, c, h, h)), cl(torch.randn(k, c // groups, kernel, kernel))
    size = (h + 2 * pad - kernel) // stride + 1
    y = cl(torch.randn(n, k, size, size))
    if kind == "fwd":
        return lambda: torch.nn.functional.conv2d(x, w, None, stride, pad, 1, groups)
    mask = [kind == "dx", kind == "dw", False]
    return lambda: torch.ops.aten.convolution_backward(
        y, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], groups, mask)


def best(run, reps):
    least = float("inf")
    with torch.no_grad():
        for _ in range(reps):
            start = time.thread_time()
            run()
            least = min(least, time.thread_time() - start)
    return least * 1e3


def ours(bench, name, kind, reps, args):
    out = subprocess.run([bench, "--peers", "no", "--steps", "no", "--layer", name, "--kind", kind, "--reps", str(reps)] + args,
                         check=True, capture_output=True, text=True).stdout
    line = [x for x in out.splitlines() if x.split()[:1] == [name]][0].split()
    return float(line[line.index("ms") - 1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("bench")
    p.add_argument("--set", default="mobilenet")
    p.add_argument("--kind")
    p.add_argument("--layer")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--reps", type=int, default=8)
    o = p.parse_args()
    torch.set_num_threads(1)
    args = ["--set", o.set]
    pick = args + (["--kind", o.kind] if o.kind else []) + (["--layer", o.layer] if o.layer else [])
    total, least = [0, 0], float("inf")
    for name, kind, *shape in layers(o.bench, pick):
        run, t = peer(kind, *shape), [float("inf")] * 2
        for _ in range(o.rounds):
            t = [min(t[0], ours(o.bench, name, kind, o.reps, args)), min(t[1], best(run, o.reps))]
        ratio = t[1] / t[0]
        total, least = [total[0] + t[0], total[1] + t[1]], min(least, ratio)
        print(f"{name:16} {kind:3} {t[0]:8.3f} {t[1]:8.3f} {ratio:6.2f}", flush=True)
    print(f"{o.set:16} all {total[0]:8.3f} {total[1]:8.3f} {total[1] / total[0]:6.2f} least {least:.2f}")


main()
