Training: run folders, resuming, checkpoints that cannot be written, budgets, NaN.

$ jepac train tiny.jepa -q --steps 4 --out run && ls run | grep -v previous
  checkpoint.safetensors
  run.jsonl
  run.svg
$ jepac train tiny.jepa -q --steps 4 --out run
  jepac: error: run already holds a run
  jepac: note: --resume goes on with it; to begin anew remove it or choose another --out
  exit 2
$ jepac train tiny.jepa -q --steps 8 --out run --resume && grep -c '"step"' run/run.jsonl
  jepac: warning: run goes on from step 4 with changes
  jepac: note: length: 4, now 8 steps: schedules that depend on it are stretched
  8
$ jepac train tiny.jepa -q --steps 8 --out run --resume --seed 5
  jepac: error: run was trained with --seed 0
  exit 2
$ jepac train tiny.jepa -q --steps 8 --out run --resume --set width=8
  jepac: error: run/checkpoint.safetensors: tensor net.0.weight is f32[16,8], but the model's is f32[8,8]
  jepac: error: run/checkpoint.safetensors: tensor net.0.bias is f32[16], but the model's is f32[8]
  jepac: error: run/checkpoint.safetensors: tensor net.2.weight is f32[10,16], but the model's is f32[10,8]
  jepac: error: run/checkpoint.safetensors: tensor optimizer.net.0.weight.m is f32[16,8], but the model's is f32[8,8]
  jepac: error: run/checkpoint.safetensors: tensor optimizer.net.0.weight.v is f32[16,8], but the model's is f32[8,8]
  jepac: error: run/checkpoint.safetensors: tensor optimizer.net.0.bias.m is f32[16], but the model's is f32[8]
  jepac: error: run/checkpoint.safetensors: tensor optimizer.net.0.bias.v is f32[16], but the model's is f32[8]
  jepac: error: run/checkpoint.safetensors: tensor optimizer.net.2.weight.m is f32[10,16], but the model's is f32[10,8]
  jepac: note: and 1 more differences
  exit 3
$ cp -r run cut && head -c 1000 run/checkpoint.safetensors > cut/checkpoint.safetensors; jepac train tiny.jepa -q --steps 9 --out cut --resume 2>&1 | sed -E 's/(of|from) step [0-9]+/\1 step N/; s/length: [0-9]+/length: K/'
  jepac: warning: cut/checkpoint.safetensors: not a safetensors file, or truncated: its header claims 1912 bytes of a file of 1000
  jepac: note: cut/previous.safetensors, of step N, is taken instead
  jepac: warning: cut goes on from step N with changes
  jepac: note: length: K, now 9 steps: schedules that depend on it are stretched
$ cp -r run lie && mkst '{}' 0 > lie/checkpoint.safetensors; jepac train tiny.jepa -q --steps 9 --out lie --resume 2>&1 | sed -E 's/(of|from) step [0-9]+/\1 step N/; s/length: [0-9]+/length: K/'
  jepac: warning: lie/checkpoint.safetensors: not a checkpoint of jepac
  jepac: note: lie/previous.safetensors, of step N, is taken instead
  jepac: warning: lie goes on from step N with changes
  jepac: note: length: K, now 9 steps: schedules that depend on it are stretched
$ : > file; jepac train tiny.jepa -q --steps 4 --out file/run
  jepac: error: cannot make folder file/run: Not a directory
  exit 3
$ jepac train tiny.jepa -q --steps 4 --out a --log nothere/log.jsonl
  jepac: error: cannot write nothere/log.jsonl: No such file or directory
  exit 3
$ jepac train tiny.jepa -q --steps 4 --out b --set width=1000000000
  jepac: error: no memory for an arena of 377655.0 MiB: Cannot allocate memory
  jepac: note: a smaller batch needs less, and --max-memory recomputes instead of storing
  exit 6
$ jepac train tiny.jepa -q --steps 4 --out b --max-memory 1K; ls b
  jepac: error: the program needs 7.9 KiB and --max-memory allows 1.0 KiB
  jepac: note: 4.3 KiB of it are inputs, parameters and optimizer state
  tiny.jepa:8:14: note: 1.0 KiB live at the peak: dot_general f32[16,16]
          logits = net(x)
                   ^
  tiny.jepa:8:14: note: 1.0 KiB live at the peak: dot_general f32[16,16]
          logits = net(x)
                   ^
  tiny.jepa:8:14: note: 640 B live at the peak: dot_general f32[10,16]
          logits = net(x)
                   ^
  tiny.jepa:8:14: note: 640 B live at the peak: dot_general f32[16,10]
          logits = net(x)
                   ^
  tiny.jepa:8:14: note: 40 B live at the peak: reduce_sum f32[10]
          logits = net(x)
                   ^
  tiny.jepa:9:12: note: 4 B live at the peak: reduce_mean f32[]
          loss = cross_entropy(logits, label)
                 ^
$ jepac train tiny.jepa -q --steps 4 --out c --set batch=300
  tiny.jepa:15:15: error: a batch of 300, but synthetic has 256 samples
        data      = synthetic(features = 8, length = 256)
                    ^
  exit 1
$ jepac eval nothere
  jepac: error: nothere is not the folder of a run
  exit 3
$ mkdir empty; jepac eval empty
  jepac: error: cannot read empty/checkpoint.safetensors: No such file or directory
  exit 3
$ jepac eval run --protocols linear
  jepac: error: DIR/tiny.jepa has no entry 'encode'
  jepac: note: protocols and --export need entry encode(x: f32[B, C, H, W]) with one result z: f32[B, D]
  exit 1

Steps of several batches: resumed between steps, counted as steps, with the same bits.

$ sed 's/warmup_cosine(1e-3, warmup = 10)/1e-3/' tiny.jepa > flat.jepa; jepac train flat.jepa -q --set accumulate=3 --steps 8 --out whole && grep -c '"step"' whole/run.jsonl
  8
$ for n in 3 8; do jepac train flat.jepa -q --set accumulate=3 --steps $n --out part --resume; done; cmp whole/checkpoint.safetensors part/checkpoint.safetensors && echo same
  same
$ jepac ckpt ls whole/checkpoint.safetensors | grep -c accumulated
  5
$ jepac check tiny.jepa --set accumulate=3 | grep train
    train Tiny on synthetic, batch 16 x 3, 2 epochs
$ jepac train tiny.jepa -q --set accumulate=0 --steps 8 --out none
  --set accumulate:1:1: error: `accumulate` is 0, but must be at least 1
      0
      ^
  exit 1
$ jepac train tiny.jepa -q --set accumulate=20 --steps 8 --out none
  jepac: error: the data has 256 samples, less than one step of 320
  exit 3

A disk that is full while checkpointing leaves the last checkpoint.

$ cp -r run full && (ulimit -f 4; jepac train tiny.jepa -q --steps 9 --out full --resume --log /dev/null) 2>&1 | cat; cmp run/checkpoint.safetensors full/checkpoint.safetensors; ls full | grep -v previous
  jepac: warning: full goes on from step 8 with changes
  jepac: note: length: 8, now 9 steps: schedules that depend on it are stretched
  jepac: error: cannot write full/checkpoint.safetensors: File too large
  checkpoint.safetensors
  run.jsonl
  run.svg
$ (ulimit -f 4; jepac train tiny.jepa -q --steps 9 --out fresh --log /dev/null) 2>&1 | cat; ls fresh
  jepac: error: cannot write fresh/checkpoint.safetensors: File too large

Without a standard error stream, progress does not go into the file that gets its number.

$ jepac train tiny.jepa --steps 4 --out mute 2>&- >/dev/null; grep -vc '^{"' mute/run.jsonl
  0
  exit 1

Values that are not finite.

$ sed 's/1e-3, warmup = 10/1e30, warmup = 0/' tiny.jepa > hot.jepa; jepac train hot.jepa -q --steps 50 --out hot 2>&1 | sed -n 's/step [0-9]*: /step N: /p'; ls hot
  jepac: error: step N: loss is not finite; hot holds the states before this step
  checkpoint.safetensors
  run.jsonl
