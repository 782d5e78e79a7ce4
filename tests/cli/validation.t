Validation while training: every sample of the test part counts (7 of 13 are 0.538461548), the best weights are kept, and a run ends early.

$ mkdir parts && mkarrays parts/train.npz x=f4:30x4 label=i8:30 && mkarrays parts/test.npz x=f4:13x4 label=i8:13
$ jepac train own.jepa --data parts --out run --set 'validate=every 1 epochs' --set 'best=highest("top1")' --set patience=3 2>&1 | grep -E 'validation|val\.|best|early'
  step 3  validation of 13 samples:  loss 0.77762  top1 0.53846  (best)
  step 6  validation of 13 samples:  loss 0.52874  top1 1  (best)
  step 9  validation of 13 samples:  loss 0.36476  top1 1
  step 12  validation of 13 samples:  loss 0.24985  top1 1
  step 15  validation of 13 samples:  loss 0.17395  top1 1
  val.loss         0.17395
  val.top1         1
  best             top1 1 at step 6, run/best.safetensors
  stopped early    top1 has been no better in the last 3 validations
$ grep 'val\.' run/run.jsonl && ls run | grep -v previous
  {"step": 3, "val.loss": 0.777623268, "val.top1": 0.538461548}
  {"step": 6, "val.loss": 0.528740003, "val.top1": 1}
  {"step": 9, "val.loss": 0.364759392, "val.top1": 1}
  {"step": 12, "val.loss": 0.249847383, "val.top1": 1}
  {"step": 15, "val.loss": 0.173949926, "val.top1": 1}
  best.safetensors
  checkpoint.safetensors
  run.jsonl
  run.svg
$ jepac ckpt diff run run/best.safetensors | tail -n 1 | sed 's/ (.*//'
  6 tensors differ

A run that was interrupted comes to the same best weights; resuming goes on from the last ones, never from the best.

$ valid="jepac train own.jepa -q --data parts --set validate=3 --set patience=9"; $valid --out whole --epochs 6 && $valid --out cut --epochs 3 && $valid --out cut --epochs 6 --resume && jepac ckpt diff whole cut && jepac ckpt diff whole/best.safetensors cut/best.safetensors && grep '"val\.' whole/run.jsonl > a && grep '"val\.' cut/run.jsonl | diff a -
  equal: 6 tensors
  equal: 6 tensors
$ jepac train own.jepa -q --data parts --set validate=3 --set 'best=highest("top1")' --out best --epochs 4 && rm -f best/checkpoint.safetensors best/previous.safetensors && jepac train own.jepa -q --data parts --set validate=3 --out best --epochs 4 --resume --progress none && jepac ckpt diff best whole > differ; tail -n 1 best/run.jsonl | cut -c 1-13
  {"step": 12, 

Batches of the rest are no setting that is given twice.

$ jepac train own.jepa -q --data parts --out nine --set batch=9 --set validate=3 --steps 3 && jepac eval nine 2>&1 | grep -c warning
  0
  exit 1

Without an entry encode, eval measures the recipe's own figures, on the data of the run.

$ jepac eval run | grep -A 9 means
  means over 13 samples                   test
  loss                                 0.17395
  top1                                       1
  
  report: run/report.html   figures: run/eval.json
$ jepac eval run --best --json | grep -E 'step|test'
    "step": 6,
    "test.loss": 0.528740003,
    "test.top1": 1.0,
    "test_samples": 13
$ jepac eval run --protocols linear
  jepac: error: DIR/own.jepa has no entry 'encode'
  jepac: note: protocols and --export need entry encode(x: f32[B, C, H, W]) with one result z: f32[B, D]
  exit 1
$ jepac eval whole --data nothere 2>&1 | grep error
  jepac: error: nothere does not exist

A rest that the model file does not allow is said; without a test part there is nothing to measure.

$ sed 's/^dim B/dim B = 8/' own.jepa > fixed.jepa; jepac train fixed.jepa -q --data parts --out bad --set validate=3
  fixed.jepa:14:15: error: argument `x` of forward must be f32[B = 8, width = 4], but is f32[5,4]: axis 0 is 5, not 8
        bind        x = data.x, label = data.label
                    ^
  fixed.jepa:14:24: note: the value is f32[5,4], made here
        bind        x = data.x, label = data.label
                             ^
  fixed.jepa:5:20: note: the type is declared here
        entry forward(x: f32[B, width], label: i64[B]) {
                         ^
  fixed.jepa:2:5: note: B = 8 is declared here
      dim B = 8
          ^
  jepac: note: while compiling what measures 5 samples of the test part at a time
  exit 1
$ mkarrays d x=f4:30x4 label=i8:30; jepac train own.jepa -q --data d --out bad --set validate=3
  jepac: error: d has no test part
  jepac: note: add test.npz, test.safetensors or test/x.npy, or keep some samples back: arrays(..., test = 0.1)
  exit 3
$ jepac train own.jepa -q --data parts --out bad --set validate=3 --set 'best=highest("top5")'
  --set best:1:1: error: there is no metric `top5` (did you mean `top1`?)
      highest("top5")
      ^
  exit 1

Labels that do not count.

$ sed 's/, label)/, label, ignore_index = -100)/' own.jepa > ignore.jepa; mkarrays i x=f4:4x4:1,2,3,5,0,1,1,2,0,0,0,0,9,8,7,6 label=i8:4:0,2,-100,-100 && mkarrays j x=f4:2x4:1,2,3,5,0,1,1,2 label=i8:2:0,2; jepac ckpt convert i i.safetensors; jepac ckpt convert j j.safetensors; jepac run ignore.jepa --inputs i.safetensors; jepac run ignore.jepa --inputs j.safetensors
  loss 0.777710617
  top1 0.5
  loss 0.777710617
  top1 0.5
$ onignored x=f4:30x4 label=i8:30:0,-100,2
  jepac: error: made.npz: label -100 of sample 1 in 'label' is not in 0..2
  exit 3
