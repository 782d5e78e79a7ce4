Linear algebra through OpenBLAS: the same in compiled code, in the interpreter, from dumps and in a library that stands alone; what is missing or has no result is said.

$ python3 -c 'import struct, json, random; random.seed(1); r = range(4); a = [[[0.3 * random.random() * (i != j) for j in r] for i in r] for k in range(3)]; [m[i].__setitem__(j, m[j][i] if j < i else m[i][j] + (i + 1) * (i == j)) for m in a for i in r for j in r]; h = json.dumps({"a": {"dtype": "F32", "shape": [3, 4, 4], "data_offsets": [0, 192]}}).encode(); w = lambda n: open(n, "wb").write(struct.pack("<Q", len(h)) + h + struct.pack("48f", *[x for m in a for q in m for x in q])); w("a.safetensors"); a[1][2][2] = -1; w("bad.safetensors")'
$ jepac verify linalg.jepa --set B=5 --entry factors | tail -1
  ok     22 passes and 23 kernels; largest error 0.0046 of what is allowed
$ jepac run linalg.jepa --entry factors --inputs a.safetensors --outputs o.safetensors -q; jepac ir linalg.jepa --entry factors --stage kernels -o k.ir; grep -o 'lapack [a-z_]* f32 shape=[^ ]*' k.ir
  lapack svd f32 shape=[3,4,4,0]
  lapack cholesky f32 shape=[3,4,4,0]
  lapack eigh f32 shape=[3,4,4,0]
  lapack qr f32 shape=[3,4,4,0]
  lapack solve f32 shape=[3,4,4,4]
  lapack eigvalsh f32 shape=[3,4,4,0]
  lapack slogdet f32 shape=[3,4,4,0]
$ jepac run k.ir --inputs a.safetensors --outputs p.safetensors -q; cmp o.safetensors p.safetensors && echo same
  same
$ jepac run linalg.jepa --entry factors --inputs bad.safetensors --outputs o.safetensors -q; echo $?
  jepac: warning: 16 of 48 elements of l are not numbers
  linalg.jepa:15:9: note: the first bad value is the result of `cholesky`, f32[3,4,4]: min 0, max 1.99886, 16 NaN, 0 infinite of 48
          l = cholesky(a)
              ^
  linalg.jepa:15:9: note: operand 1, the result of `mul`, f32[3,4,4]: min -1, max 4
          l = cholesky(a)
              ^
  linalg.jepa:15:9: note: matrix 1 of 3 (the first is 0) is not positive definite: its leading minor of order 3 is not positive
          l = cholesky(a)
              ^
  0

$ jepac run linalg.jepa --entry normal --random | grep small
  small 1

The same of a singular matrix, and of one with NaN.

$ printf 'model S() {\n  entry solved(y: f32[2, 3]) {\n    a = stack([eye(3), 2 * eye(3), eye(3)])\n    return x = solve(concat(a, reshape(tile(tensor([1, 2, 3]), [3]), [1, 3, 3]), axis = 0), tile(unsqueeze(y, 0), [4, 1, 1])[:, 0])\n  }\n  entry factors() {\n    u, s, v = svd(stack([eye(2), eye(2) * (inf - inf)]))\n    return s\n  }\n}\n' > s.jepa; for e in solved factors; do jepac run s.jepa --entry $e --random --outputs o.safetensors -q 2>&1 | grep -e matrix -e first | sed 's/: min.*, 3 NaN/: 3 NaN/'; done
  s.jepa:4:16: note: the first bad value is the result of `solve`, f32[4,1,3]: 3 NaN, 0 infinite of 12
  s.jepa:4:16: note: matrix 3 of 4 (the first is 0) is singular: pivot 2 is zero
  s.jepa:7:41: note: the first bad value is a constant, f32[2,2]: no finite element, 4 NaN, 0 infinite of 4
A step that ends in no number says which matrix it was.

$ sed 's/+ 0.1 \* eye(B)/- 0.5 * eye(B)/' linalg.jepa > bad.jepa; jepac run bad.jepa --set B=5 --entry forward --random -q
  jepac: error: step 0: loss is not finite
  bad.jepa:9:9: note: the first bad value is the result of `cholesky`, f32[5,5]: no finite element, 25 NaN, 0 infinite of 25
          l = cholesky(k)
              ^
  bad.jepa:9:9: note: operand 1, the result of `mul`, f32[5,5]: min 2.92205e-05, max 0.5
          l = cholesky(k)
              ^
  bad.jepa:9:9: note: the matrix is not positive definite: its leading minor of order 5 is not positive
          l = cholesky(k)
              ^
  exit 4
$ JEPAC_OPENBLAS=/nowhere.so jepac run linalg.jepa --set B=5 --entry forward --random -q
  linalg.jepa:9:9: error: `cholesky` cannot be computed: OpenBLAS is missing: install the package libopenblas0-serial
          l = cholesky(k)
              ^
  exit 3
$ JEPAC_OPENBLAS=/nowhere.so jepac run linalg.jepa --set B=5 --entry forward --random --interp -q; JEPAC_OPENBLAS=/nowhere.so jepac check linalg.jepa --set B=5 | head -1
  linalg.jepa:9:9: error: `cholesky` cannot be computed: OpenBLAS is missing: install the package libopenblas0-serial
          l = cholesky(k)
              ^
  linalg.jepa

A library says that it needs OpenBLAS; without it the code is the same.

$ JEPAC_OPENBLAS=/nowhere.so jepac compile linalg.jepa --set B=5 --entry forward -o lib -q; head -1 lib/linalg.h; grep -e Requires -e Libs lib/linalg.pc; grep LINK_LIB lib/linalgConfig.cmake; nm -u lib/linalg.o | grep -o '[ds][a-z]*_$' | sort -u | paste -sd ' ' -
  /* forward of linalg.jepa, compiled by jepac. Needs the C library, -lm and -lopenblas.
  Requires: openblas
  Libs: -L${prefix} -llinalg -lm
      INTERFACE_LINK_LIBRARIES "openblas;m")
  sgetrf_ slacpy_ slaset_ spotrf_ strsm_
$ sed 's/cholesky(k)/cholesky(k[:, 1:])/' linalg.jepa > m.jepa; jepac check m.jepa --set B=5 2>&1 | head -2
  m.jepa:9:9: error: the last two axes must be equal: matrices are square here
          l = cholesky(k[:, 1:])
$ sed 's/triangular_solve(l, y)/triangular_solve(l, y[1:])/' linalg.jepa > m.jepa; jepac check m.jepa --set B=5 2>&1 | head -2
  m.jepa:10:9: error: triangular_solve: matrices f32[5,5] and right-hand sides f32[4,1] do not fit (axis 0 of those must be 5)
          a = triangular_solve(l, y[1:])
$ sed 's/cholesky(k)/cholesky(i32(k))/' linalg.jepa > m.jepa; jepac check m.jepa --set B=5 2>&1 | head -2
  m.jepa:9:9: error: matrices must be of f32 or f64
          l = cholesky(i32(k))
