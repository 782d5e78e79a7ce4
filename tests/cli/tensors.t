Tensor files. x.safetensors is right; every other one is damaged in its own way.

$ mkst '{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}' 24 > x.safetensors
$ mkst '{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}' 12 > w.safetensors
$ jepac run sum.ir --interp --inputs x.safetensors --params w.safetensors --outputs y.safetensors && wc -c < y.safetensors
  y 0
  72

Missing and misplaced files, tensors, types.

$ jepac run sum.ir --interp
  jepac: error: sum needs --inputs with 'x': f32[2,3]
  exit 2
$ jepac run sum.ir --interp --inputs nothere.safetensors
  jepac: error: cannot read nothere.safetensors: No such file or directory
  exit 3
$ jepac run sum.ir --interp --inputs .
  jepac: error: cannot read .: Is a directory
  exit 3
$ jepac run sum.ir --interp --inputs w.safetensors
  jepac: error: w.safetensors lacks input 'x': f32[2,3]
  exit 3
$ jepac run sum.ir --interp --inputs x.safetensors --params x.safetensors
  jepac: error: x.safetensors lacks 'w': f32[3]
  jepac: note: it has 'x'
  exit 3
$ jepac run sum.ir --interp --inputs x.safetensors --params nothere.safetensors
  jepac: error: cannot read nothere.safetensors: No such file or directory
  exit 3
$ mkst '{"x":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]}}' 24 > shape.safetensors; jepac run sum.ir --interp --inputs shape.safetensors
  jepac: error: shape.safetensors: input 'x' is f32[3,2], but sum needs f32[2,3]
  exit 3
$ mkst '{"x":{"dtype":"I64","shape":[2,3],"data_offsets":[0,48]}}' 48 > int.safetensors; jepac run sum.ir --interp --inputs int.safetensors
  jepac: error: int.safetensors: input 'x' is i64[2,3], but sum needs f32[2,3]
  exit 3
$ mkst '{"x":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}}' 0 > zero.safetensors; jepac run sum.ir --interp --inputs zero.safetensors
  jepac: error: zero.safetensors: tensor 'x': dimension 0 has size 0
  exit 3
$ mkst '{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"z":{"dtype":"F32","shape":[1],"data_offsets":[24,28]}}' 28 > extra.safetensors; jepac run sum.ir --interp --inputs extra.safetensors
  jepac: error: extra.safetensors: sum has no input 'z'
  jepac: note: did you mean 'x'?
  exit 3
$ mkst '{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"wx":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}' 16 > extra.safetensors; jepac run sum.ir --interp --inputs x.safetensors --params extra.safetensors
  jepac: error: extra.safetensors: the model has no state 'wx'
  jepac: note: did you mean 'w'?
  exit 3
$ mkst '{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}' 16 > w4.safetensors; jepac run sum.ir --interp --inputs x.safetensors --params w4.safetensors
  jepac: error: w4.safetensors: 'w' is f32[4], but the model needs f32[3]
  exit 3

Truncated and lying files.

$ : > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: not a safetensors file: only 0 bytes
  exit 3
$ head -c 40 x.safetensors > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: not a safetensors file, or truncated: its header claims 57 bytes of a file of 40
  exit 3
$ head -c 80 x.safetensors > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: tensor x ends at byte 24 of the data, but the file has only 15 (truncated?)
  exit 3
$ (cat x.safetensors; echo more) > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: 5 bytes after the last tensor
  exit 3
$ mkst '{}' 0 99999999999999 > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: not a safetensors file, or truncated: its header claims 99999999999999 bytes of a file of 10
  exit 3
$ mkst '{"x":{"dtype":"F32","shape":[2,3]' 24 > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: bad safetensors header: '}' expected near end of file
  exit 3
$ mkst '[1,2]' 24 > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: bad safetensors header: it does not begin with '{'
  exit 3
$ mkst '{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}}' 24 > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: tensor x: its shape needs 24 bytes but its data offsets give 20
  exit 3
$ mkst '{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[24,0]}}' 24 > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: tensor x: its data offsets are out of order
  exit 3
$ mkst '{"x":{"dtype":"F32","shape":[2,-3],"data_offsets":[0,24]}}' 24 > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: tensor x: dimension 1 is not a size
  exit 3
$ mkst '{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,24]}}' 24 > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: tensor x: its shape overflows
  exit 3
$ mkst '{"x":{"dtype":"F99","shape":[2,3],"data_offsets":[0,24]}}' 24 > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: tensor x has element type F99, which is not supported
  exit 3
$ mkst '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}' 8 > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: bad safetensors header: duplicate object key near '"x"'
  exit 3
$ mkst '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}' 12 > bad.safetensors; jepac run sum.ir --interp --inputs bad.safetensors
  jepac: error: bad.safetensors: the data of tensors x and y overlap
  exit 3
$ echo no array > bad.npy; jepac run sum.ir --interp --inputs bad.npy
  jepac: error: bad.npy: no npy file
  exit 3

Outputs are whole or absent.

$ jepac run sum.ir --interp -q --inputs x.safetensors --outputs nothere/y.safetensors
  jepac: error: cannot write nothere/y.safetensors: No such file or directory
  exit 3
$ jepac run sum.ir --interp -q --inputs x.safetensors --outputs .
  jepac: error: cannot write .: Is a directory
  exit 3
$ jepac run sum.ir --interp -q --inputs x.safetensors --outputs /dev/full
  jepac: error: cannot write /dev/full: No space left on device
  exit 3
$ jepac run sum.ir --interp --inputs x.safetensors > /dev/full
  jepac: error: cannot write to standard output: No space left on device
  exit 3
$ (ulimit -f 0; jepac run sum.ir --interp -q --inputs x.safetensors --outputs z.safetensors) 2>&1 | cat
  jepac: error: cannot write z.safetensors: File too large
$ ls | grep -e z.safetensors -e tmp
  exit 1
