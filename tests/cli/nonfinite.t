A step whose loss or gradient norm is not finite changes no state; it is replayed and the first operator at fault is named (exit 4).

$ jepac train over.jepa -q --out a 2>&1 | sed 's/: min.*/: .../'; jepac train over.jepa -q --out a --resume >/dev/null 2>&1; echo $?
  jepac: error: step 0: grad_norm is not finite; a holds the states before this step
  over.jepa:20:15: note: the first bad value is the update's result of `mul`, f32[16]: ...
        optimizer = adamw(lr = 1e-3)
                    ^
  jepac: note: operand 1, the result of `reduce_sum`, f32[16]: ...
  jepac: note: operand 2, the result of `reduce_sum`, f32[16]: ...
  4

An elementwise operator inside a fused kernel, with what it read.

$ sed -e 's/1e-3/1e6/' over.jepa > b.jepa; jepac train b.jepa --set gain=3 -q --out b 2>&1 | sed 's/: min [^0].*, max [^0].*/: numbers/; s/NaN, [0-9]* inf/NaN, N inf/'
  jepac: error: step 1: loss is not finite; b holds the states before this step
  b.jepa:9:9: note: the first bad value is the result of `exp`, f32[16,16]: min 0, max 0, 0 NaN, N infinite of 256
          h = exp(gain * fc1(x))
              ^
  b.jepa:9:18: note: operand 1, the result of `mul`, f32[16,16]: numbers
          h = exp(gain * fc1(x))
                       ^
$ jepac train b.jepa --set gain=3 -q --out b2 >/dev/null 2>&1; echo $?
  4

A matrix product; a learning rate that is no f32.

$ sed -e 's/exp(gain [*] fc1(x))/gain * fc1(x)/' -e 's/1e-3/1e35/' over.jepa > c.jepa; jepac train c.jepa --set gain=1 -q --out c 2>&1 | grep -e error -e first -e operand -e fc2 | sed 's/f32\(.*\): .*/f32\1: .../'
  jepac: error: step 1: loss is not finite; c holds the states before this step
  c.jepa:10:14: note: the first bad value is the result of `dot_general`, f32[16,10]: ...
          logits = fc2(relu(h))
  c.jepa:10:18: note: operand 1, the result of `relu`, f32[16,16]: ...
          logits = fc2(relu(h))
  c.jepa:6:9: note: operand 2, `fc2.weight`, f32[10,16]: ...
        fc2 = Linear(width, 10)
$ sed -e 's/1e35/1e39/' c.jepa > d.jepa; jepac train d.jepa --set gain=1 -q --out d 2>&1 | sed 's/: no .*/: .../'
  jepac: error: step 0: lr is not finite; d holds the states before this step
  d.jepa:20:15: note: the first bad value is the update's result of `cast`, f32[]: ...
        optimizer = adamw(lr = 1e39)
                    ^
  d.jepa:20:15: note: operand 1, the result of `div`, f64[]: min 1e+40, max 1e+40
        optimizer = adamw(lr = 1e39)
                    ^

A constant of the model.

$ sed -e 's/loss = /loss = (0.0 \/ 0.0) * /' tiny.jepa > e.jepa; jepac train e.jepa -q --out e
  jepac: error: step 0: loss is not finite; e holds the states before this step
  e.jepa:9:24: note: the first bad value is a constant, f32[]: no finite element, 1 NaN, 0 infinite of 1
          loss = (0.0 / 0.0) * cross_entropy(logits, label)
                             ^
  exit 4
