Model files: exit 1 with file, line, column and caret; exit 3 when there is no file.

$ jepac check tiny.jepa | grep -v -e kernels -e arena
  tiny.jepa
    entry forward(x: f32[16,8], label: i64[16]) -> loss: f32[], logits: f32[16,10]   13.1 kFLOP
    train Tiny on synthetic, batch 16, 2 epochs
    parameters   314 in 4 tensors, 1.23 KiB
    optimizer    628 in 8 tensors, 2.45 KiB
$ jepac check nothere.jepa
  jepac: error: cannot read model nothere.jepa: No such file or directory
  exit 3
$ jepac check .
  jepac: error: cannot read model .: it is a folder
  exit 3
$ : > m.jepa; jepac check m.jepa
  m.jepa
    no entry, no train section
$ sed 's/ReLU/RelU/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:5:38: error: unknown name `RelU` (did you mean `ReLU`?)
        net = Sequential(Linear(8, width), RelU(), Linear(width, classes))
                                           ^
  exit 1
$ sed 's/net(x)/nett(x)/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:8:14: error: unknown name `nett` (did you mean `net`?)
          logits = nett(x)
                   ^
  exit 1
$ sed 's/Linear(8, width)/Linear(9, width)/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:8:14: error: `x` of Linear must be f32[..., inputs = 9], but is f32[16,8]: axis 1 is 8, not 9
          logits = net(x)
                   ^
  std/nn.jepa:16:40: note: inside the library's forward
          repeat layer in layers { x = layer(x) }
                                             ^
  m.jepa:7:17: note: the value is f32[16,8], made here
        entry forward(x: f32[B, 8], label: i64[B]) {
                      ^
  std/nn.jepa:24:17: note: the type is declared here
        fn forward(x: f32[..., inputs]) {
                      ^
  exit 1
$ sed 's/cross_entropy(logits/cross_entropy(x/; s/length = 256/length = 256, classes = 8/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:5:20: warning: parameter `net.0.weight` is reached by no objective, so it is not trained
        net = Sequential(Linear(8, width), ReLU(), Linear(width, classes))
                         ^
  m.jepa:5:20: warning: parameter `net.0.bias` is reached by no objective, so it is not trained
        net = Sequential(Linear(8, width), ReLU(), Linear(width, classes))
                         ^
  m.jepa:5:46: warning: parameter `net.2.weight` is reached by no objective, so it is not trained
        net = Sequential(Linear(8, width), ReLU(), Linear(width, classes))
                                                   ^
  m.jepa:5:46: warning: parameter `net.2.bias` is reached by no objective, so it is not trained
        net = Sequential(Linear(8, width), ReLU(), Linear(width, classes))
                                                   ^
  m.jepa:17:23: error: this loss depends on no parameter
        minimize    forward.loss
                            ^
  exit 1
$ sed 's/ReLU()/ReLU(/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:5:43: error: expected an expression, found `,`
        net = Sequential(Linear(8, width), ReLU(, Linear(width, classes))
                                                ^
  exit 1
$ sed 's/return loss, logits/return los, logits/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:10:12: error: unknown name `los` (did you mean `log`?)
          return los, logits
                 ^
  exit 1
$ sed 's/adamw/adamv/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:18:15: error: unknown name `adamv` (did you mean `adamw`?)
        optimizer = adamv(lr = warmup_cosine(1e-3, warmup = 10))
                    ^
  exit 1
$ sed 's/lr = /rate = /' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:18:21: error: `adamw` has no parameter `rate`
        optimizer = adamw(rate = warmup_cosine(1e-3, warmup = 10))
                          ^
  std/optim.jepa:5:11: note: `adamw` is declared here
      optimizer adamw(lr = 1e-3, betas: list = [0.9, 0.999], eps = 1e-8, weight_decay = 1e-2, decay_vectors: bool = true) {
                ^
  exit 1
$ sed 's/synthetic/synthesis/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:15:15: error: unknown name `synthesis` (did you mean `synthetic`?)
        data      = synthesis(features = 8, length = 256)
                    ^
  exit 1
$ sed 's/length/lenght/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:15:39: error: `synthetic` has no parameter `lenght` (did you mean `length`?)
        data      = synthetic(features = 8, lenght = 256)
                                            ^
  std/data.jepa:179:8: note: `synthetic` is declared here
      source synthetic(views: int = 1, size: int = 32, channels: int = 3, action_dim: int = 0, classes: int = 10, features: int = 0, tokens: int = 0,
             ^
  exit 1
$ sed 's/data.label/data.labels/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:16:40: error: synthetic has no field `labels` (did you mean `label`?)
        bind        x = data.x, label = data.labels
                                             ^
  std/data.jepa:179:8: note: synthetic is declared here
      source synthetic(views: int = 1, size: int = 32, channels: int = 3, action_dim: int = 0, classes: int = 10, features: int = 0, tokens: int = 0,
             ^
  exit 1
$ sed 's/forward.loss/forward.cost/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:17:23: error: there is no result `cost` (did you mean `loss`?)
        minimize    forward.cost
                            ^
  exit 1
$ sed 's/batch     = 16/batch = 0/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:19:11: error: `batch` is 0, but must be at least 1
        batch = 0, epochs = 2
                ^
  exit 1
$ sed 's/train Tiny/train Tini/' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:14:7: error: there is no model `Tini` to train (did you mean `Tiny`?)
      train Tini {
            ^
  exit 1
$ (echo 'use "nn/nothere.jepa"'; cat tiny.jepa) > m.jepa; jepac check m.jepa
  m.jepa:1:5: error: there is no file `nn/nothere.jepa`
      use "nn/nothere.jepa"
          ^
  jepac: note: looked in . and ROOT/models
  exit 1
$ sed '1i use "/dev/zero"' tiny.jepa > m.jepa; jepac check m.jepa
  m.jepa:1:5: error: cannot read `/dev/zero`: it is no regular file
      use "/dev/zero"
          ^
  exit 3
$ echo 'model M() { entry f(x: f32[2, 0]) { return x } }' > m.jepa; jepac check m.jepa
  m.jepa:1:31: error: axis 1 of `x` has the extent 0, expected at least 1
      model M() { entry f(x: f32[2, 0]) { return x } }
                                    ^
  exit 1
$ head -c 200 /dev/zero > m.jepa; jepac check m.jepa
  m.jepa:1:1: error: unexpected byte 0x00
      
      ^
  exit 1
$ jepac check tiny.jepa --set widht=3
  jepac: error: --set widht: there is no dimension, model parameter or recipe setting of this name (did you mean `width`?)
  exit 1
$ jepac check tiny.jepa --set width=0
  tiny.jepa:5:20: error: axis 0 of `weight` has the extent 0, expected 1 to 2^32
        net = Sequential(Linear(8, width), ReLU(), Linear(width, classes))
                         ^
  std/nn.jepa:22:18: note: inside the library's Linear
        weight = param[outputs, inputs] = if init == none then kaiming_uniform(inputs) else init
                       ^
  jepac: note: this is with --set width=0
  tiny.jepa:5:46: error: axis 1 of `weight` has the extent 0, expected 1 to 2^32
        net = Sequential(Linear(8, width), ReLU(), Linear(width, classes))
                                                   ^
  std/nn.jepa:22:27: note: inside the library's Linear
        weight = param[outputs, inputs] = if init == none then kaiming_uniform(inputs) else init
                                ^
  jepac: note: this is with --set width=0
  exit 1
$ jepac check tiny.jepa --set width=wide
  tiny.jepa:5:30: error: `outputs` of Linear must be a number, but is "wide"
        net = Sequential(Linear(8, width), ReLU(), Linear(width, classes))
                                   ^
  jepac: note: this is with --set width=wide
  exit 1
$ jepac check tiny.jepa --set B=0
  --set B:1:1: error: dimension `B` cannot be 0
      0
      ^
  exit 1
$ jepac run tiny.jepa --entry backward
  jepac: error: tiny.jepa has no entry 'backward'
  jepac: note: it has 'forward'
  exit 2
$ jepac ir tiny.jepa --entry forwrd
  jepac: error: tiny.jepa has no entry 'forwrd'
  jepac: note: did you mean 'forward'?
  exit 2

Tensors for a model: wrong ones are data errors.

$ mkst '{"label":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"x":{"dtype":"F32","shape":[2,8],"data_offsets":[16,80]}}' 80 > x.safetensors
$ jepac run tiny.jepa --inputs x.safetensors --interp --seed 1 -q --params-out p.safetensors --outputs y.safetensors
$ jepac run tiny.jepa --inputs x.safetensors --params p.safetensors -q --grad --outputs y.safetensors
$ jepac run tiny.jepa --inputs x.safetensors --params x.safetensors
  jepac: error: x.safetensors lacks 'net.0.weight': f32[16,8]
  jepac: note: it has 'label', which is no state of the model
  jepac: note: 3 more are missing
  exit 3
$ jepac run tiny.jepa
  jepac: error: forward needs --inputs with 'x': f32[16,8]
  exit 2
$ jepac run tiny.jepa --set width=4 --inputs x.safetensors --params p.safetensors
  jepac: error: p.safetensors: 'net.0.weight' is f64[16,8], but the model needs f32[4,8]
  tiny.jepa:5:20: note: the model's 'net.0.weight'
        net = Sequential(Linear(8, width), ReLU(), Linear(width, classes))
                         ^
  exit 3
$ mkst '{"label":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[2,8],"data_offsets":[8,72]}}' 72 > bad.safetensors; jepac run tiny.jepa --inputs bad.safetensors
  jepac: error: bad.safetensors: input 'label' is f32[2], but forward needs i64[2]
  exit 3
$ mkst '{"label":{"dtype":"I64","shape":[3],"data_offsets":[0,24]},"x":{"dtype":"F32","shape":[2,8],"data_offsets":[24,88]}}' 88 > bad.safetensors; jepac run tiny.jepa --inputs bad.safetensors
  jepac: error: bad.safetensors: input 'x' is f32[2,8], but forward needs f32[3,8]
  exit 3
$ mkst '{"label":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"x":{"dtype":"F32","shape":[2,9],"data_offsets":[16,88]}}' 88 > bad.safetensors; jepac run tiny.jepa --inputs bad.safetensors
  jepac: error: bad.safetensors: input 'x' is f32[2,9], but forward needs f32[2,8]
  exit 3
$ mkst '{"label":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"y":{"dtype":"F32","shape":[2,8],"data_offsets":[16,80]}}' 80 > bad.safetensors; jepac run tiny.jepa --inputs bad.safetensors
  jepac: error: bad.safetensors lacks input 'x': f32[2,8]
  exit 3

An entry that reads only a copy of other states; one array without a name.

$ mkst '{"x":{"dtype":"F32","shape":[4,1,28,28],"data_offsets":[0,12544]}}' 12544 > images.safetensors
$ jepac run $ROOT/models/seq_jepa_demo.jepa --entry target --inputs images.safetensors --outputs z.npy && jepac run $ROOT/models/seq_jepa_demo.jepa --entry encode --inputs images.safetensors --outputs e.npy && cmp z.npy e.npy
$ jepac run tiny.jepa --inputs z.npy
  jepac: error: z.npy lacks input 'x': f32[16,8]
  exit 3

Files from other systems: a byte order mark, ends of lines, bytes that are no text.

$ printf '\357\273\277' | cat - tiny.jepa > mark.jepa; jepac check mark.jepa | head -2; jepac fmt mark.jepa | cmp - tiny.jepa
  mark.jepa
    entry forward(x: f32[16,8], label: i64[16]) -> loss: f32[], logits: f32[16,10]   13.1 kFLOP
$ sed -e 's/net(x)/nett(x)/' -e 's/$/\r/' tiny.jepa > crlf.jepa; jepac check crlf.jepa
  crlf.jepa:8:14: error: unknown name `nett` (did you mean `net`?)
          logits = nett(x)
                   ^
  exit 1
$ printf 'dim B\n\033[31m\001 = 3\n' > bytes.jepa; jepac check bytes.jepa
  bytes.jepa:2:1: error: unexpected byte 0x1b
      ?[31m? = 3
      ^
  exit 1

A model is checked in no time whatever its batch.

$ timeout 10 jepac check tiny.jepa --set batch=4000000000 | grep memory
    memory       775 GiB (arena)

The models of models/zoo, as they stand, without a warning.

$ for m in $ROOT/models/zoo/*.jepa; do jepac check $m > out 2> err && ! test -s err || { echo $m; cat err; }; jepac fmt --check $m; done
