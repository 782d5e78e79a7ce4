jepac reduce, ckpt, fmt, and diagnostics for programs.

$ sed 's/net(x)/nett(x)/' tiny.jepa > bad.jepa; jepac reduce bad.jepa -o small.jepa -- sh -c 'jepac check "$0" 2>&1 | grep "unknown name .nett" && exit 9' bad.jepa 2>&1 | sed 's/, [0-9]* candidates//'; cat small.jepa; ls reduce.* 2>&1 | sed 's/.*: //'
  549 -> 61 bytes, exit code 9
  model Tiny() {
    entry forward() {
      logits = nett()
    }
  }
  No such file or directory

A model of 77 lines; --match keeps to the failure meant, where an exit code alone slips to the first that comes by.

$ sed 's/shape(z)\[0\], 1, -1/shape(zz)[0], 1, -1/' $ROOT/models/seq_jepa.jepa > big.jepa; jepac reduce big.jepa --match 'unknown name `zz`' -o small.jepa -- jepac check big.jepa 2>/dev/null; jepac check small.jepa 2>&1 | grep -o 'unknown name .zz.'; wc -l < small.jepa | awk '{ print ($1 < 24) }'
  unknown name `zz`
  1
$ jepac reduce big.jepa -o other.jepa -- jepac check big.jepa 2>/dev/null; jepac check other.jepa 2>&1 | grep -c 'unknown name .zz.'
  0
  exit 1
$ jepac reduce big.jepa --match nothing -- jepac check big.jepa
  jepac: error: what jepac prints for this model does not hold 'nothing'
  exit 2
$ jepac reduce tiny.jepa -- jepac check tiny.jepa
  jepac: error: jepac does not fail on this model
  exit 2
$ jepac reduce tiny.jepa -- false
  jepac: error: the command does not name tiny.jepa
  exit 2
$ jepac reduce tiny.jepa
  jepac: error: usage is jepac reduce MODEL [-o FILE] -- CMD with MODEL in it
  exit 2

$ jepac train tiny.jepa -q --steps 4 --out run && cp -r run more && jepac train tiny.jepa -q --steps 6 --out more --resume && jepac ckpt ls run | sed -n -e '1s/ .*//p' -e '/^net.0.weight/s/  */ /gp' -e '$p' | cut -d' ' -f1-4
  jepac: warning: more goes on from step 4 with changes
  jepac: note: length: 4, now 6 steps: schedules that depend on it are stretched
  tensor
  net.0.weight f32[16,8] -0.34921 0.34913
  12 tensors, 942 elements,
$ jepac ckpt diff run run
  equal: 12 tensors
$ jepac ckpt diff run more | sed 's/: .*//'; jepac ckpt diff run more -v | grep -c 'elements differ, by'
  net.0.bias f32[16]
  12 tensors differ (-v shows all)
  12
$ jepac ckpt convert run npy && ls npy | wc -l && jepac ckpt convert npy back.safetensors && jepac ckpt diff run back.safetensors
  12
  equal: 12 tensors
$ rm npy/net.0.bias.npy; jepac ckpt diff run npy
  net.0.bias: only in run
  1 tensors differ
  exit 5
$ jepac ckpt convert run net.safetensors --only net. --no-optimizer --prefix head. && jepac ckpt ls net.safetensors | cut -c1-36
  tensor                              
  head.0.bias                         
  head.0.weight                       
  head.2.bias                         
  head.2.weight                       
  4 tensors, 314 elements, 1.23 KiB
$ jepac ckpt convert net.safetensors again.safetensors --only head. --prefix net. && jepac run tiny.jepa --set B=4 --random --params again.safetensors -q && jepac ckpt diff again.safetensors run | tail -1
  8 tensors differ (-v shows all)
$ jepac ckpt convert run named.safetensors --only net. --no-optimizer --rename 0.=first.,2.bias=-,2.=second. && jepac ckpt ls named.safetensors | cut -c1-36
  tensor                              
  first.bias                          
  first.weight                        
  second.weight                       
  3 tensors, 304 elements, 1.19 KiB
$ jepac ckpt convert run none.safetensors --rename nett.=net.
  jepac: error: --rename: no tensor's name begins with 'nett.'
  exit 2
$ jepac ckpt convert run none.safetensors --no-optimizer --rename net.0.=net.2.
  jepac: error: two tensors would be 'net.2.bias'
  exit 2
$ jepac ckpt convert run none.safetensors --rename net.0.
  jepac: error: --rename needs rules such as OLD=NEW,OLD=-, not 'net.0.'
  exit 2
$ jepac ckpt convert run none.safetensors --only net.0. --rename weight=
  jepac: error: --rename leaves no name for 'net.0.weight'
  exit 2
$ jepac ckpt convert run none.safetensors --only nett.
  jepac: error: run has no tensor 'nett.*'
  exit 2
$ jepac ckpt convert run none.safetensors --only net.0.weight
  jepac: error: --only net.0.weight leaves no name for 'net.0.weight'
  exit 2
$ printf 'PK\003\004 and so on' > weights.pt; jepac ckpt ls weights.pt
  jepac: error: weights.pt: not a safetensors file but a zip archive, as torch.save and numpy.savez write: save it with safetensors.torch.save_file or safetensors.numpy.save_file
  exit 3
$ jepac ckpt list run
  jepac: error: jepac ckpt knows ls, check, diff and convert, not 'list'
  jepac: note: did you mean 'ls'?
  exit 2
$ jepac ckpt ls nothere
  jepac: error: cannot read tensor file nothere: No such file or directory
  exit 3

$ printf 'dim   B   \n\n\n\nmodel M(width=3,classes = 2){\n# note\n      net = Linear( width ,classes)   # end\n fn forward(x)=\n     net(x)\n   long = f(1,\n            2)\n }' > ugly.jepa; jepac fmt ugly.jepa
  dim B
  
  model M(width = 3, classes = 2) {
    # note
    net = Linear(width, classes)   # end
    fn forward(x) =
       net(x)
    long = f(1,
              2)
  }
$ printf 'model M {\n  entry f( x:f32[B,4], y : i64[B] ) {\n    return z = x[0:2, 1 : 3], y\n  }\n}\n' > colon.jepa; jepac fmt colon.jepa
  model M {
    entry f(x: f32[B, 4], y: i64[B]) {
      return z = x[0:2, 1 : 3], y
    }
  }
$ jepac fmt ugly.jepa -o ugly.jepa && jepac fmt ugly.jepa --check && jepac fmt tiny.jepa --check
$ for f in $ROOT/models/*.jepa $ROOT/models/*/*.jepa $ROOT/frontend/std/*.jepa; do jepac fmt $f > a.jepa && jepac fmt a.jepa | cmp - a.jepa || echo $f; done
$ echo 'model M { x = $ }' > bad.jepa; jepac fmt bad.jepa
  bad.jepa:1:15: error: unexpected character '$'
      model M { x = $ }
                    ^
  exit 1

$ sed 's/net(x)/nett(x)/' tiny.jepa > m.jepa; jepac check m.jepa --diagnostics json
  {"kind": "error", "text": "unknown name `nett` (did you mean `net`?)", "file": "m.jepa", "line": 8, "col": 14}
  exit 1
$ jepac check nothere.jepa --diagnostics=json
  {"kind": "error", "text": "cannot read model nothere.jepa: No such file or directory"}
  exit 3

A conversion that cannot be done writes nothing.

$ mkst '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]}}' 8 > bf16.safetensors; jepac ckpt convert bf16.safetensors none; ls none 2>&1 | sed 's/.*: //'
  jepac: error: 'b' is bf16, which an npy file cannot hold
  No such file or directory
$ mkst '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b/c":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}' 8 > slash.safetensors; jepac ckpt convert slash.safetensors none; ls none 2>&1 | sed 's/.*: //'
  jepac: error: 'b/c' cannot be a file's name
  No such file or directory

What differs in its bits only differs.

$ mkst '{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}' 12 > zeros.safetensors; (head -c -1 zeros.safetensors; printf '\200') > signed.safetensors; jepac ckpt diff zeros.safetensors signed.safetensors
  a f32[3]: 1 of 3 elements differ, by 0 at most (0 of the largest); first [2]: 0 against -0; mean 0 against 0, std 0 against 0
  1 tensors differ
  exit 5
$ mkst '{}' 0 > empty.safetensors; jepac ckpt diff empty.safetensors empty.safetensors
  equal: 0 tensors

A bool of another program that is neither 0 nor 1.

$ mkst '{"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}' 3 > bool.safetensors; jepac ckpt convert bool.safetensors a.npy; printf '\2' | dd of=a.npy bs=1 seek=129 conv=notrunc 2>/dev/null; jepac ckpt convert a.npy b.safetensors
  jepac: error: a.npy: a bool in it is neither 0 nor 1
  exit 3
