Arrays of one's own: npz, npy and safetensors files give the same training.

$ mkarrays d x=f4:30x4 label=i8:30 && jepac train own.jepa -q --data d --out runs/npy
$ mkarrays d.npz x=f8:30x4 label=u1:30 && jepac train own.jepa -q --data d.npz --out runs/npz && jepac ckpt diff runs/npy runs/npz
  equal: 6 tensors
$ mkdir -p parts st && mkarrays parts/train.npz x=f4:30x4 label=f4:30 && mkarrays parts/val.npz x=f4:9x4 label=i4:9 && jepac train own.jepa -q --data parts --out runs/parts && jepac ckpt diff runs/npy runs/parts
  equal: 6 tensors
$ jepac ckpt convert d st/train.safetensors && jepac train own.jepa -q --data st --out runs/st && jepac ckpt diff runs/npy runs/st
  equal: 6 tensors
$ jepac train own.jepa -q --data d --out runs/split --set 'data=arrays(array("x",[4]),array("label",classes=3),test=0.2)' && head -c 300 runs/split/run.jsonl | grep -o '"test":[^}]*'
  "test":0.20000000000000001
$ jepac train own.jepa -q --data parts --out bad --set 'data=arrays(array("x",[4]),array("label",classes=3),test=0.2)'
  --set data:1:1: error: test = 0.2 of arrays has no effect: parts/val.npz is a test part of its own
      arrays(array("x",[4]),array("label",classes=3),test=0.2)
      ^
  exit 1

What does not fit is named with both sides.

$ onarrays x=f4:30x5 label=i8:30
  own.jepa:13:15: error: made.npz: array 'x' is [30, 5], but the model file has samples of [4]
        data      = arrays(array("x", [4]), array("label", classes = 3))
                    ^
  jepac: note: samples are along the first axis: array("x", [5])
  exit 1
$ onarrays x=f4:30x4 label=i8:29
  jepac: error: made.npz holds 30 samples of 'x', but made.npz holds 29 of 'label'
  exit 3
$ onarrays xx=f4:30x4 label=i8:30
  jepac: error: made.npz has no array 'x'; it has xx, label
  exit 3
$ onarrays x=O:30x4 label=i8:30
  jepac: error: made.npz: array 'x': its elements are Python objects, not numbers (was it made of rows of unequal length?)
  exit 3
$ onarrays x=f4:30x4 label=i8:30x1; onarrays x=f4:30x4 label=i8:30x3
  own.jepa:13:15: error: made.npz: array 'label' is [30, 1], but the model file has samples of []
        data      = arrays(array("x", [4]), array("label", classes = 3))
                    ^
  jepac: note: a label is one number a sample: `label.reshape(-1)` in NumPy
  own.jepa:13:15: error: made.npz: array 'label' is [30, 3], but the model file has samples of []
        data      = arrays(array("x", [4]), array("label", classes = 3))
                    ^
  jepac: note: a label is the number of a class: `label.argmax(-1)` in NumPy, where these are one-hot
  exit 1
$ cp d.npz flipped.npz; flip flipped.npz 200; jepac train own.jepa -q --data flipped.npz --out bad
  jepac: error: flipped.npz: cannot read its member x.npy: ZIP bad CRC: 0xda0e129e should be 0xfa001386
  exit 3
$ onarrays x=f4:30x4 label=f4:30:nan
  jepac: error: made.npz: label nan of sample 0 in 'label' is no whole number
  exit 3
$ onarrays x=f4:30x4 label=f4:30:0.5
  jepac: error: made.npz: label 0.5 of sample 0 in 'label' is no whole number
  exit 3
$ onarrays x=f4:30x4 label=i8:30:3
  jepac: error: made.npz: label 3 of sample 0 in 'label' is not in 0..2
  exit 3
$ onarrays x=f4:0x4 label=i8:0
  jepac: error: made.npz holds 0 samples
  exit 3
$ onarrays x=f4:4x4 label=i8:4
  own.jepa:13:15: error: a batch of 8, but arrays has 4 samples
        data      = arrays(array("x", [4]), array("label", classes = 3))
                    ^
  exit 1
$ head -c 300 d.npz > x.npz; jepac train own.jepa -q --data x.npz --out bad
  jepac: error: x.npz: cannot read its member x.npy: Truncated ZIP file data
  exit 3
$ echo hello > x.npz; jepac train own.jepa -q --data x.npz --out bad
  jepac: error: cannot read x.npz: Unrecognized archive format
  exit 3
$ jepac train own.jepa -q --out bad
  jepac: error: the arrays need --data: a folder, an .npz or a .safetensors file
  jepac: note: a folder has train.npz and test.npz, or .safetensors, or train/NAME.npy and test/NAME.npy
  exit 3
$ mkdir empty; jepac train own.jepa -q --data empty --out bad
  jepac: error: empty has neither train.npz nor train.safetensors, train/x.npy, data.npz, data.safetensors or x.npy
  exit 3
$ jepac check own.jepa --set 'data=arrays()'
  --set data:1:1: error: a source of arrays lists them: arrays(array(NAME, SHAPE), ...)
      arrays()
      ^
  std/data.jepa:202:3: note: required here
        require len(fields) >= 1, "a source of arrays lists them: arrays(array(NAME, SHAPE), ...)"
        ^
  jepac: note: this is with --set data=arrays()
  own.jepa:14:24: error: arrays has no field `x`
        bind        x = data.x, label = data.label
                             ^
  jepac: note: this is with --set data=arrays()
  std/data.jepa:200:8: note: arrays is declared here
      source arrays(*fields, test: number = 0) {
             ^
  own.jepa:14:40: error: arrays has no field `label`
        bind        x = data.x, label = data.label
                                             ^
  jepac: note: this is with --set data=arrays()
  std/data.jepa:200:8: note: arrays is declared here
      source arrays(*fields, test: number = 0) {
             ^
  exit 1
$ jepac check own.jepa --set 'data=arrays(array("x",[4]),array("x"))'
  --set data:1:1: error: there are two arrays `x`
      arrays(array("x",[4]),array("x"))
      ^
  exit 1
$ jepac check own.jepa --set 'data=arrays(array("x",[4]),array("labels",classes=3))'
  own.jepa:14:40: error: arrays has no field `label` (did you mean `labels`?)
        bind        x = data.x, label = data.label
                                             ^
  jepac: note: this is with --set data=arrays(array("x",[4]),array("labels",classes=3))
  std/data.jepa:200:8: note: arrays is declared here
      source arrays(*fields, test: number = 0) {
             ^
  exit 1
$ jepac check own.jepa --set 'data=arrays(array("x",[4],type="text"))'
  --set data:1:8: error: an array becomes f32, f64, f16, bf16, i8, u8, i16, u16, i32, u32, i64 or u64, not "text"
      arrays(array("x",[4],type="text"))
             ^
  std/data.jepa:195:3: note: required here
        require contains(["f32", "f64", "f16", "bf16", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"], type), "an array becomes f32, f64, f16, bf16, i8, u8, i1...
        ^
  jepac: note: this is with --set data=arrays(array("x",[4],type="text"))
  own.jepa:14:24: error: input needs a result type
        bind        x = data.x, label = data.label
                             ^
  jepac: note: this is with --set data=arrays(array("x",[4],type="text"))
  own.jepa:14:40: error: arrays has no field `label`
        bind        x = data.x, label = data.label
                                             ^
  jepac: note: this is with --set data=arrays(array("x",[4],type="text"))
  std/data.jepa:200:8: note: arrays is declared here
      source arrays(*fields, test: number = 0) {
             ^
  exit 1
$ ls bad
  ls: cannot access 'bad': No such file or directory
  exit 2

Training from given weights: a file or a run. What is missing or left over is an error, or counted.

$ tail -n 1 runs/npy/run.jsonl | grep -o '"loss": 0.01' && jepac train own.jepa -q --data d --out runs/warm --params runs/npy --steps 1 && grep -o '"loss": 0.01' runs/warm/run.jsonl
  "loss": 0.01
  "loss": 0.01
$ mkarrays five x=f4:30x5 label=i8:30 && jepac train own.jepa -q --data five --out bad --params runs/npy --set width=5 --set 'data=arrays(array("x",[5]),array("label",classes=3))'
  jepac: error: runs/npy/checkpoint.safetensors: 'net.weight' is f32[3,4], but the model needs f32[3,5]
  own.jepa:4:9: note: the model's 'net.weight'
        net = Linear(width, classes)
              ^
  exit 3
$ rm -rf bad; mkarrays w net.weight=f4:3x4 old.bias=f4:3; jepac ckpt convert w w.safetensors && jepac train own.jepa -q --data d --out bad --params w.safetensors
  jepac: error: w.safetensors lacks 'net.bias': f32[3]
  jepac: note: it has 'old.bias'
  exit 3
$ jepac train own.jepa -q --data d --out runs/some --params w.safetensors --params-missing ok --steps 1
  jepac: warning: w.safetensors gives 1 of 2 states; the others keep their initial values, the first: 'net.bias'
  jepac: warning: 1 of the 2 tensors of w.safetensors are no states of the model, the first: 'old.bias'
$ jepac train own.jepa -q --data d --out bad --params d --params-missing ok
  jepac: error: d is no folder of a run: it has no checkpoint.safetensors
  exit 3
$ jepac train own.jepa -q --data d --out bad --params-missing ok --steps 1
  jepac: error: --params-missing belongs to --params
  exit 2
$ jepac run own.jepa -q --set B=2 --random --params runs/npy --outputs y.safetensors && jepac run own.jepa -q --set B=2 --random --params runs/npy/checkpoint.safetensors --outputs z.safetensors && jepac ckpt diff y.safetensors z.safetensors
  equal: 3 tensors
$ jepac train own.jepa -q --out runs/some --resume --steps 2 && echo the data of the run
  the data of the run
$ mkarrays d2.npz x=f4:30x4 label=i8:30:0,0,1; jepac train own.jepa -q --data d2.npz --out runs/some --resume --steps 3; jepac train own.jepa -q --data d2.npz --out runs/some --resume --steps 3 --accept-changes && grep -o '"changes": {"--data"' runs/some/run.jsonl
  jepac: error: runs/some was trained otherwise up to step 2
  jepac: note: --data: DIR/d, now DIR/d2.npz
  jepac: note: --accept-changes goes on all the same, and the log will say so
  jepac: warning: runs/some goes on from step 2 with changes
  jepac: note: --data: DIR/d, now DIR/d2.npz
  "changes": {"--data"
$ jepac train own.jepa -q --data nowhere --out bad; jepac train own.jepa -q --data own.jepa --out bad
  jepac: error: nowhere does not exist
  jepac: error: own.jepa is neither an .npz nor a .safetensors file nor a folder
  exit 3

An evaluation says that the model was edited since.

$ cp own.jepa edited.jepa; jepac train edited.jepa -q --data parts --out runs/edited --steps 2 && jepac eval runs/edited 2>&1 | grep -c edited.jepa: ; sed -i 's/net(x)/net(x + x)/' edited.jepa; jepac eval runs/edited 2>&1 | grep warning | sed 's#/.*/edited.jepa#edited.jepa#'
  0
  jepac: warning: edited.jepa or a file it uses was edited since runs/edited was trained with it
