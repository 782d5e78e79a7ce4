Storage in bf16: by the recipe or by option; checkpoints stay f32 and go from one precision to the other.

$ jepac ir precision.jepa --train-step --stage plan | grep -q 'bf16\[16,16,8,8\]' && echo bf16
  bf16
$ jepac ir precision.jepa --train-step --stage plan --precision f32 | grep -c bf16
  0
  exit 1
$ jepac ir precision.jepa --train-step --stage plan --set precision=f32 | grep -c bf16
  0
  exit 1
$ jepac check precision.jepa --set precision=i32
  --set precision:1:1: error: `precision` is f32, bf16 or f16, not "i32"
      i32
      ^
  exit 1
$ jepac verify precision.jepa --set batch=16 -q >log 2>&1 && echo verified
  verified
$ jepac verify $ROOT/models/cnn.jepa --set batch=4 --precision bf16 -q >log 2>&1 && echo verified
  verified
$ jepac train precision.jepa -q --out one --threads 1 --steps 6 && jepac train precision.jepa -q --out two --threads 2 --steps 6
$ cmp one/checkpoint.safetensors two/checkpoint.safetensors && echo same bits
  same bits
$ jepac ckpt ls one | grep -c bf16
  0
  exit 1
$ jepac train precision.jepa -q --out one --resume --steps 8 --precision f32 --accept-changes
  jepac: warning: one goes on from step 6 with changes
  jepac: note: it was compiled differently (another model, machine or jepac): steps have other bits
$ jepac train precision.jepa -q --out one --resume --steps 10 --precision bf16 --accept-changes
  jepac: warning: one goes on from step 8 with changes
  jepac: note: it was compiled differently (another model, machine or jepac): steps have other bits
$ tail -1 one/run.jsonl | cut -c1-12
  {"step": 10,

The same in f16, which has no tiles; a library of it calls no compiler's library where the processor cannot convert.

$ jepac verify $ROOT/models/cnn.jepa --set batch=4 --precision f16 -q >log 2>&1 && echo verified
  verified
$ jepac train precision.jepa -q --out three --threads 1 --steps 6 --precision f16 && jepac train precision.jepa -q --out four --threads 2 --steps 6 --precision f16
$ cmp three/checkpoint.safetensors four/checkpoint.safetensors && echo same bits
  same bits
$ for cpu in x86-64 x86-64-v3; do jepac compile precision.jepa --train-step -o lib-$cpu --precision f16 --target-cpu $cpu -q && nm -u lib-$cpu/*.a | grep -c -e hf -e trunc; done
  0
  0
  exit 1

What multiplies, and why not tiles.

$ jepac explain precision.jepa --train-step --fusion | grep -q -e '(bf16 tiles)' -e 'vectors: no tiles on this processor)' && echo told
  told

An expression counts, a graph says what it was made for, and an option wins.

$ sed 's/= bf16/= if batch > 8 then bf16 else f32/' precision.jepa > by_batch.jepa; jepac ir by_batch.jepa --train-step --stage plan | grep -c bf16 | awk '{ print ($1 > 4) }'; jepac ir by_batch.jepa --train-step --stage plan --set batch=4 | grep -c bf16
  1
  0
  exit 1
$ jepac ir precision.jepa --train-step -o step.ir; head -1 step.ir; jepac ir step.ir --stage plan | grep -c bf16 | awk '{ print ($1 > 4) }'; jepac ir step.ir --stage plan --precision f32 | grep -c bf16
  graph train_step precision=bf16 {
  1
  0
  exit 1
$ sed 's/=bf16/=f64/' step.ir > wrong.ir; jepac ir wrong.ir --stage plan
  wrong.ir:1:28: error: the precision of a graph is bf16, f16 or not given
      graph train_step precision=f64 {
                                 ^
  exit 1
