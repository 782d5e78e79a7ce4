What the language can say in more than one way comes to the same: leading axes of `@`, `...` in an index, einsum, lists of lists, numbers of a wanted type.

$ jepac run phrases.jepa --entry same --random | grep small
  small 1
$ jepac run phrases.jepa --entry same --random --interp | grep small
  small 1
$ sed 's/a = x @ y/a = x @ fill([3, 4, 5], 0)/' phrases.jepa > m.jepa; jepac check m.jepa 2>&1 | head -2
  m.jepa:4:11: error: cannot multiply f32[2,3,4] @ f32[3,4,5]: their leading axes do not fit together
          a = x @ fill([3, 4, 5], 0) - x @ expand(y, [2, 4, 5])
$ sed 's/x\[\.\.\., 1\]/x[..., 1, ...]/' phrases.jepa > m.jepa; jepac check m.jepa 2>&1 | head -2
  m.jepa:6:9: error: `...` stands in an index once
          c = x[..., 1, ...] - x[:, :, 1]
$ sed 's/x\[\.\.\., 1\]/x[:, :, ::-1]/' phrases.jepa > m.jepa; jepac check m.jepa 2>&1 | head -2
  m.jepa:6:19: error: the step -1 is not positive: reverse(x, axis) turns an axis around
          c = x[:, :, ::-1] - x[:, :, 1]
$ echo 'entry f(x: f32[3]) { return y = x }' > m.jepa; jepac check m.jepa 2>&1 | head -1
  m.jepa:1:1: error: an entry belongs in the body of a `model`
$ sed 's/"bij,bjk->bik"/"bij,b2k->bik"/' phrases.jepa > m.jepa; jepac check m.jepa 2>&1 | head -1
  m.jepa:9:9: error: "bij,b2k->bik": an axis is a letter, not `2`
$ sed 's/"bij,bjk->bik", x, z/"bij,bjk->bik", x/' phrases.jepa > m.jepa; jepac check m.jepa 2>&1 | head -1
  m.jepa:9:9: error: the text names 2 operands
