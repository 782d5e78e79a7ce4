Training: run folders, resuming, checkpoints that cannot be written, budgets, NaN.

$ jepac train tiny.jepa -q --steps 4 --out run && ls run
$ jepac train tiny.jepa -q --steps 4 --out run
$ jepac train tiny.jepa -q --steps 8 --out run --resume && grep -c '"step"' run/run.jsonl
$ jepac train tiny.jepa -q --steps 8 --out run --resume --seed 5
$ jepac train tiny.jepa -q --steps 8 --out run --resume --set width=8
$ cp -r run cut && head -c 1000 run/checkpoint.safetensors > cut/checkpoint.safetensors; jepac train tiny.jepa -q --steps 9 --out cut --resume
$ cp -r run lie && mkst '{}' 0 > lie/checkpoint.safetensors; jepac train tiny.jepa -q --steps 9 --out lie --resume
$ : > file; jepac train tiny.jepa -q --steps 4 --out file/run
$ jepac train tiny.jepa -q --steps 4 --out a --log nothere/log.jsonl
$ jepac train tiny.jepa -q --steps 4 --out b --max-memory 1K; ls b
$ jepac train tiny.jepa -q --steps 4 --out c --set batch=300
$ jepac eval nothere
$ mkdir empty; jepac eval empty
$ jepac eval run

A disk that is full while checkpointing leaves the last checkpoint.

$ cp -r run full && (ulimit -f 4; jepac train tiny.jepa -q --steps 9 --out full --resume --log /dev/null) 2>&1 | cat; cmp run/checkpoint.safetensors full/checkpoint.safetensors; ls full
$ (ulimit -f 4; jepac train tiny.jepa -q --steps 9 --out fresh --log /dev/null) 2>&1 | cat; ls fresh

Values that are not finite.

$ sed 's/1e-3, warmup = 10/1e30, warmup = 0/' tiny.jepa > hot.jepa; jepac train hot.jepa -q --steps 50 --out hot 2>&1 | sed 's/step [0-9]*/step N/'; ls hot
