Element types: dumps, files, messages. What operators compute is tested by tests/unit/test_types.c.

$ jepac ir types.jepa > types.ir; sed 's/ *#.*//' types.ir; jepac ir types.ir | cmp - types.ir && echo the same again
  graph f {
    %0: u8[4] = arg "x"
    %1: f16[3] = arg "h"
    %2: u8[] = reduce_sum %0 {axes=[0]}
    %3: i64[4] = cast %0
    %4: i64[] = reduce_sum %3 {axes=[0]}
    %5: u8[4] = fill {value=1}
    %6: u8[4] = add %0, %5
    %7: f16[3] = mul %1, %1
    %8: u64[2] = buffer "seen" {init=fill(18446744073709551615), stream=2489031029}
    %9: u64[2] = fill {value=1}
    %10: u64[2] = sub %8, %9
    %11: i8[3] = buffer "level" {init=fill(-128), stream=1753732441}
    %12: i8[3] = fill {value=1}
    %13: i8[3] = sub %11, %12
    %14: i64[1] = fill {value=-9223372036854775806}
    return "sum" %2
    return "wide" %4
    return "past" %6
    return "half" %7
    return "left" %10
    return "lower" %13
    return "big" %14
  }
  the same again

250 4 2 0 and 1.5 300 6e-8: sums wrap around in their type, 300 * 300 is beyond f16.

$ (mkst '{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"h":{"dtype":"F16","shape":[3],"data_offsets":[4,10]}}' 0; printf '\372\4\2\0\0\76\260\134\1\0') > in.safetensors; jepac ckpt ls in.safetensors
  tensor                                       type                        min          max         mean          std
  h                                            f16[3]               5.9605e-08          300        100.5       141.07
  x                                            u8[4]                         0          250           64        107.4
  2 tensors, 7 elements, 10 B
$ jepac run types.jepa --inputs in.safetensors --outputs out.safetensors
  sum 0
  wide 256
$ jepac ckpt ls out.safetensors
  tensor                                       type                        min          max         mean          std
  big                                          i64[1]              -9.2234e+18  -9.2234e+18  -9.2234e+18            0
  half                                         f16[3]                        0         2.25        1.125        1.125  1 not finite
  left                                         u64[2]               1.8447e+19   1.8447e+19   1.8447e+19            0
  lower                                        i8[3]                       127          127          127            0
  past                                         u8[4]                         1          251           65        107.4
  sum                                          u8[]                          0            0            0            0
  wide                                         i64[]                       256          256          256            0
  7 tensors, 15 elements, 46 B
$ jepac run types.jepa --inputs in.safetensors --interp
  sum 0
  wide 256
$ jepac ckpt convert out.safetensors all && for t in past left lower half; do head -c 60 all/$t.npy | grep -ao "'descr': '...'"; done
  'descr': '|u1'
  'descr': '<u8'
  'descr': '|i1'
  'descr': '<f2'
$ jepac ckpt convert out.safetensors again.safetensors && jepac ckpt diff out.safetensors again.safetensors && echo equal
  equal: 7 tensors
  equal

Of numbers that are not whole, no more is kept than a double has.

$ jepac ir $ROOT/models/mlp.jepa --train-step | grep -c 'fill {value=0.05}'
  1

Wrong ones.

$ sed 's/"U8"/"U4"/' in.safetensors > bad.safetensors; jepac run types.jepa --inputs bad.safetensors
  jepac: error: bad.safetensors: tensor x has element type U4, which is not supported
  exit 3
$ sed 's/x + 1/x + 256/' types.jepa > bad.jepa; jepac check bad.jepa
  bad.jepa:5:55: error: value 256 of fill cannot be u8: it is out of the type's range
          return sum = sum(x), wide = sum(i64(x)), past = x + 256, half = h * h, left = seen - 1, lower = level - 1, big = fill([1], 2 - 9223372036854775808, i64)
                                                            ^
  exit 1
$ sed 's/x + 1/x - h[0]/' types.jepa > bad.jepa; jepac check bad.jepa
  bad.jepa:5:55: error: the operands have different element types, u8 and f16
          return sum = sum(x), wide = sum(i64(x)), past = x - h[0], half = h * h, left = seen - 1, lower = level - 1, big = fill([1], 2 - 9223372036854775808, i64)
                                                            ^
  bad.jepa:4:11: note: operand 1 is u8[4], made here
        entry f(x: u8[4], h: f16[3]) {
                ^
  bad.jepa:5:57: note: operand 2 is f16[], made here
          return sum = sum(x), wide = sum(i64(x)), past = x - h[0], half = h * h, left = seen - 1, lower = level - 1, big = fill([1], 2 - 9223372036854775808, i64)
                                                              ^
  jepac: note: convert one of them, for example with u8(...)
  exit 1
$ sed 's/= -128/= -129/' types.jepa > bad.jepa; jepac check bad.jepa
  bad.jepa:3:25: error: this cannot be the initial value of a state of type i8: it is out of the type's range
        buffer level: i8[3] = -129
                              ^
  exit 1
$ sed 's/= -128/= normal(0, 1)/' types.jepa > bad.jepa; jepac check bad.jepa
  bad.jepa:3:25: error: this cannot be the initial value of a state of type i8: random numbers are floats
        buffer level: i8[3] = normal(0, 1)
                              ^
  exit 1
$ sed 's/i8\[3\]/i7[3]/' types.jepa > bad.jepa; jepac check bad.jepa
  bad.jepa:3:17: error: unknown element type `i7` (did you mean `i8`?): there are f32, f64, bf16, i32, i64, u32, bool, i8, u8, i16, u16, u64 and f16
        buffer level: i7[3] = -128
                      ^
  exit 1
$ sed 's/2 - 9223372036854775808/-9223372036854775809/' types.jepa > bad.jepa; jepac check bad.jepa
  bad.jepa:5:116: error: value -9223372036854775809 of fill cannot be i64: it is out of the type's range
      ...= sum(x), wide = sum(i64(x)), past = x + 1, half = h * h, left = seen - 1, lower = level - 1, big = fill([1], -9223372036854775809, i64)
                                                                                                             ^
  exit 1
$ sed 's/x: u8\[4\]/x: i8[4]/' types.jepa > other.jepa; jepac run other.jepa --inputs in.safetensors
  jepac: error: in.safetensors: element 0 of input 'x' does not fit i8
  exit 3

Rounding to bf16 as imported models do: zero stays zero, the smallest normal number itself.

$ printf 'model M() {\n  entry f(x: f32[2]) { return y = sum(abs(onnx_round_float(x, 7, -126, inf, "inf"))) }\n}\n' > round.jepa; mkst '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8 > zeros.safetensors; jepac run round.jepa --inputs zeros.safetensors
  y 0
$ (mkst '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 0; printf '\0\0\200\0\0\0\0\0') > least.safetensors; jepac run round.jepa --inputs least.safetensors
  y 1.17549435e-38
