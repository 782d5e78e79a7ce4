Files of strangers: bounded work, no foreign files, nothing that a terminal obeys, and data that are named when they are wrong.

Evaluation.

$ printf 'fn d(l, n) = if n == 0 then l else d(l + l, n - 1)\nmodel M() { entry f(x: f32[2]) { return y = x * len(d([1], 50)) } }\n' > m.jepa; jepac check m.jepa 2>&1 | head -1
  m.jepa:1:42: error: this model takes too many steps to elaborate
$ printf 'model M() {\n  entry f(x: f32[2]) {\n    l = [1]\n    repeat i in 60 { l = [l, l] }\n    return y = x * (if l == l then 1 else 2)\n  }\n}\n' > m.jepa; jepac check m.jepa 2>&1 | head -1
  m.jepa
$ printf 'model M() {\n  entry f(x: f32[2]) {\n    l = [1]\n    k = [1]\n    repeat i in 60 {\n      l = [l, l]\n      k = [k, k]\n    }\n    return y = x * (if l == k then 1 else 2)\n  }\n}\n' > m.jepa; jepac check m.jepa 2>&1 | head -1
  m.jepa:9:29: error: this model takes too many steps to elaborate
$ printf 'model T(%s) { entry f(x: f32[2]) { return y = x } }\n' "$(seq -s, 1 2000 | sed 's/\([0-9]*\)/p\1 = 1/g')" > m.jepa; jepac check m.jepa > out 2>&1; tail -1 out; test $(wc -c < out) -lt 40000 && head -2 out | cut -c1-60
  jepac: note: 1950 more errors
  m.jepa:1:9: error: `T` never uses its parameter `p1`
      model T(p1 = 1,p2 = 1,p3 = 1,p4 = 1,p5 = 1,p6 = 1,p7 = 1

Files.

$ mkdir -p in away; echo 'fn g(x) = x + 1' > away/g.jepa; printf 'use "../away/g.jepa"\nmodel M() { entry f(x: f32[2]) { return y = g(x) } }\n' > in/m.jepa; jepac check in/m.jepa; jepac check in/m.jepa --allow-use | head -1
  in/m.jepa:1:5: error: `in/../away/g.jepa` lies outside of the model's folder and of the library
      use "../away/g.jepa"
          ^
  jepac: note: --allow-use reads it all the same
  in/m.jepa
$ ln -s ../away/g.jepa in/g.jepa; sed -i 's#../away/##' in/m.jepa; jepac check in/m.jepa 2>&1 | head -1
  in/m.jepa:1:5: error: `in/g.jepa` lies outside of the model's folder and of the library
$ mkfifo in/pipe; sed -i 's#g.jepa#pipe#' in/m.jepa; timeout 5 jepac check in/m.jepa 2>&1 | head -1
  in/m.jepa:1:5: error: cannot read `in/pipe`: it is no regular file

Terminals.

$ printf 'model M() { require 1 == 2, "a\302\233b"\n  entry f(x: f32[2]) { return y = x } }\n' > m.jepa; jepac check m.jepa 2>&1 | head -1
  m.jepa:1:13: error: a\u009bb
$ jepac check "$(printf 'no\033[31m')"
  jepac: error: cannot read model no\x1b[31m: No such file or directory
  exit 3
$ printf 'model M() { # \033[31m\n}\n' > m.jepa; jepac check m.jepa 2>&1 | head -1
  m.jepa:1:15: error: unexpected byte 0x1b
$ printf '# all\rmodel M() { }\r' > m.jepa; jepac check m.jepa 2>&1 | head -1
  m.jepa:1:6: error: a carriage return alone ends no line (Unix: line feed, DOS: both)

A train section without data.

$ printf 'model M() {\n  param w[4] = zeros\n  entry f(x: f32[4, 4]) { return loss = mean(x * w) }\n}\ntrain M {\n  minimize f.loss\n  optimizer = sgd(lr = 1e-4)\n  batch = 4, steps = 10\n}\n' > m.jepa; jepac check m.jepa | grep train; jepac ir m.jepa --train-step | head -1; jepac explain m.jepa --train-step | grep -o '^peak'; jepac train m.jepa --out r 2>&1 | head -1
    train M, batch 4, 10 steps
  graph train_step {
  peak
  m.jepa:5:7: error: the train section lacks `data = ...`

Labels and integers.

$ printf 'model M() { entry f(x: f32[3, 4], label: i64[3]) { return loss = cross_entropy(x, label) } }\n' > m.jepa
$ mkst '{"label":{"dtype":"I64","shape":[3],"data_offsets":[0,24]},"x":{"dtype":"F32","shape":[3,4],"data_offsets":[24,72]}}' 72 > l.safetensors; jepac run m.jepa --inputs l.safetensors
  loss 1.38629436
$ printf '\377\377\377\377\377\377\377\377' | dd of=l.safetensors bs=1 seek=$(($(wc -c < l.safetensors) - 56)) conv=notrunc 2>/dev/null; jepac run m.jepa --inputs l.safetensors; jepac run m.jepa --inputs l.safetensors --interp -q
  jepac: error: row 2 of input 'label' is -1: there are only the classes 0..3
  jepac: error: row 2 of input 'label' is -1: there are only the classes 0..3
  exit 3
$ sed -i 's/label)/label, ignore_index = -1)/' m.jepa; jepac run m.jepa --inputs l.safetensors
  loss 1.38629436
$ printf 'model M() { entry f(x: i32[3]) { return y = x } }\n' > m.jepa; mkst '{"x":{"dtype":"I64","shape":[3],"data_offsets":[0,24]}}' 24 > l.safetensors; printf '\1\1\1\1\1\1' | dd of=l.safetensors bs=1 seek=$(($(wc -c < l.safetensors) - 8)) conv=notrunc 2>/dev/null; jepac run m.jepa --inputs l.safetensors
  jepac: error: l.safetensors: element 2 of input 'x' does not fit i32
  exit 3
