What a terminal says: commands, hints, and errors that name what caused them.

$ jepac version | sed 's/[0-9.]*$/N/'; jepac help train | head -n 1; jepac help tarin
  jepac N
  usage: jepac train MODEL [options]
  jepac: error: unknown command 'tarin'
  jepac: note: did you mean 'train'?
  exit 2
$ jepac help ckpt | tail -n 4
    ls RUN|FILE            each tensor's type and shape, least, largest and mean value, standard deviation
    check RUN|FILE         the checksums that a checkpoint carries
    diff A B               the first tensor in which two differ (-v: all); exit 5 where one does
    convert FROM TO        into .safetensors, .npy or a folder of .npy; names by --only and --prefix
$ jepac check tiny.jepa --set optimizer.lr=foo 2>&1 | tail -n 1; jepac check own.jepa --set width=x 2>&1 | tail -n 1; jepac check "$ROOT/models/seq_jepa.jepa" --set heads=7 2>&1 | tail -n 1
  jepac: note: this is with --set optimizer.lr=foo
  jepac: note: this is with --set width=x
  jepac: note: this is with --set heads=7
$ jepac check tiny.jepa --set B=8 2>&1 | tail -n 1; jepac check tiny.jepa --set lr=1
  jepac: note: the batch of training is another setting: --set batch=8
  jepac: error: --set lr: there is no dimension, model parameter or recipe setting of this name (did you mean `optimizer.lr`?)
  exit 1
$ jepac check own.jepa --set 'batch = 5' | tail -n 1; jepac check own.jepa --set ' = 5'; jepac check own.jepa --set 'batch = '
    memory       1.25 KiB (arena)
  jepac: error: --set needs NAME=VALUE, not ' = 5'
  jepac: error: --set needs NAME=VALUE, not 'batch = '
  exit 2
$ sed '/^train/,$d' tiny.jepa > alone.jepa; jepac run alone.jepa --set batch=4 --random
  loss 2.32352304
$ mkdir hold; : > hold/checkpoint.safetensors; jepac train tiny.jepa --set widht=3 --out hold; jepac train tiny.jepa --steps 0 --out zero; ls zero
  jepac: error: --set widht: there is no dimension, model parameter or recipe setting of this name (did you mean `width`?)
  jepac: error: 0 steps train nothing; jepac check looks at a model without training it
  ls: cannot access 'zero': No such file or directory
  exit 2
$ sed 's/data.label/label/' tiny.jepa > m.jepa; jepac check m.jepa 2>&1 | head -n 1; sed 's/net(x)/matmul(x, x)/' tiny.jepa > m.jepa; jepac check m.jepa 2>&1 | head -n 1
  m.jepa:16:35: error: unknown name `label` (did you mean `data.label`?)
  m.jepa:8:14: error: unknown name `matmul` (here it is `a @ b`)
$ printf 'dim B\nmodel A() {\n  net = Linear(8, 8)\n  fn f(x) {\n    y = net(x)\n    return y\n\n  entry forward(x: f32[B, 8]) {\n    return y = f(x)\n  }\n}\ntrain A {\n  batch = 3\n}\n' > m.jepa; jepac check m.jepa
  m.jepa:12:1: error: expected `}`, found `train`
      train A {
      ^
  m.jepa:4:11: note: this block lacks its `}`
        fn f(x) {
                ^
  m.jepa:8:3: note: it seems to end before this line
        entry forward(x: f32[B, 8]) {
        ^
  exit 1

Layout: no file with an error of syntax, several files, standard input.

$ jepac fmt m.jepa 2>&1 | head -n 1; jepac fmt - < tiny.jepa | cmp - tiny.jepa; jepac fmt tiny.jepa own.jepa; cp tiny.jepa a.jepa; sed 's/^  net/ net/' own.jepa > b.jepa; jepac fmt a.jepa b.jepa --check; jepac fmt a.jepa b.jepa --in-place; cmp b.jepa own.jepa
  m.jepa:12:1: error: expected `}`, found `train`
  jepac: error: several files need --in-place or --check
  jepac: error: b.jepa is not laid out as jepac fmt would

A loss that is not finite ends a run; steps are of training; reduce replaces the file inside of words.

$ sed 's/loss = cross_entropy(logits, label)/loss = mean(log(0 - logits * logits)), _ = label/' tiny.jepa > nan.jepa; jepac run nan.jepa --set B=4 --random 2>&1 | sed 's/operand.*//'
  jepac: error: step 0: loss is not finite
  nan.jepa:9:17: note: the first bad value is the result of `log`, f32[4,10]: no finite element, 40 NaN, 0 infinite of 40
          loss = mean(log(0 - logits * logits)), _ = label
                      ^
  nan.jepa:9:23: note: 
          loss = mean(log(0 - logits * logits)), _ = label
                            ^
$ jepac run nan.jepa --set B=4 --random > /dev/null 2>&1; echo $?; jepac run tiny.jepa --set B=4 --random --steps 5
  4
  jepac: error: --steps repeats optimizer steps: it belongs to --entry train_step
  exit 2
$ sed 's/net(x)/nett(x)/' tiny.jepa > bad.jepa; jepac reduce bad.jepa -- sh -c 'jepac check bad.jepa 2>&1 | grep -q nett && exit 7' 2>/dev/null | grep -c nett
  1

Warnings come before the first step.

$ sed 's/net = Seq/left = 3\n  net = Seq/' tiny.jepa > warned.jepa; jepac train warned.jepa --steps 2 --out warned --progress plain 2>&1 | grep -o -e warning -e 'kernels, arena'
  warning
  kernels, arena

The progress bar fits the terminal.

$ narrow jepac train tiny.jepa --steps 3000 --out narrow > width; awk '{ print ($1 <= 39 ? "fits" : "too wide"), $2, $3 }' width
  fits of 40
