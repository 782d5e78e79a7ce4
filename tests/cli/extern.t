An operator of the user's shared library: the same numbers as the language's own, forward and backward, in compiled code, in the interpreter, and from dumped IR.

$ mkextern; mkst '{"x":{"dtype":"F32","shape":[4,8],"data_offsets":[0,128]}}' 128 > zero.safetensors
$ jepac check extern.jepa --set B=4 | grep -c entry
  2
$ jepac run extern.jepa --set B=4 --entry native --grad --inputs zero.safetensors --outputs a.safetensors -q; echo $?
  0
$ jepac run extern.jepa --allow-extern --entry forward --grad --inputs zero.safetensors --outputs b.safetensors -q; cmp a.safetensors b.safetensors && echo same
  same
$ jepac run extern.jepa --allow-extern --entry forward --grad --interp --inputs zero.safetensors --outputs c.safetensors -q; echo $?
  0
$ jepac ir extern.jepa --set B=4 --entry forward --grad -o dump.ir; grep -c 'library="./libsquare.so"' dump.ir
  1
$ jepac opt dump.ir --passes autodiff,strip,simplify,cse,dce -o opt.ir; grep -o 'extern.*}' opt.ir
  extern %6 {library="./libsquare.so", symbol="square", vjp="square_vjp"}
  extern %6, %7, %14 {library="./libsquare.so", symbol="square_vjp"}
$ jepac run dump.ir --allow-extern --inputs zero.safetensors --outputs d.safetensors -q; cmp a.safetensors d.safetensors && echo same
  same
$ jepac ir extern.jepa --set B=4 --entry forward --grad --stage kernels -o kernels.ir; grep -o 'extern "[^(]*' kernels.ir
  extern "./libsquare.so" "square" result=[4,8] 
  extern "./libsquare.so" "square_vjp" result=[4,8] 
$ jepac run kernels.ir --allow-extern --inputs zero.safetensors --outputs e.safetensors -q; cmp a.safetensors e.safetensors && echo same
  same

A library made from it calls the function directly.

$ jepac compile extern.jepa --set B=4 --entry forward -o lib -q --emit obj; nm -u lib/extern.o | grep square
                   U square

Two calls of it with other extents are two functions of the library.

$ sed '0,/loss = mean(y \* y)/s//loss = mean(square(reshape(y, [2 * B, 4])))/' extern.jepa > two.jepa
$ jepac compile two.jepa --set B=4 --entry forward -o two -q --emit ll; grep -o 'call void @square(.*' two/*.ll
  call void @square(ptr %4, ptr %6, i64 4, i64 8)
  call void @square(ptr %4, ptr %6, i64 8, i64 4)

What is wrong with a declaration is said with its line.

$ sed 's#./libsquare#./libcube#' extern.jepa > m.jepa; jepac run m.jepa --allow-extern --inputs zero.safetensors 2>&1 | head -2; jepac run m.jepa --allow-extern --inputs zero.safetensors >/dev/null 2>&1; echo $?
  m.jepa:4:16: error: cannot load the library: ./libcube.so: cannot open shared object file: No such file or directory
      fn square(x) = extern(x, library = "./libcube.so", symbol = "square", shape = shape(x), vjp = ["square_vjp"])
  1
$ sed 's#"square"#"cube"#' extern.jepa > m.jepa; jepac run m.jepa --allow-extern --inputs zero.safetensors 2>&1 | head -2
  m.jepa:4:16: error: library ./libsquare.so has no function 'cube'
      fn square(x) = extern(x, library = "./libsquare.so", symbol = "cube", shape = shape(x), vjp = ["square_vjp"])
$ sed 's#\["square_vjp"\]#["square_vjp", none]#' extern.jepa > m.jepa; jepac run m.jepa --allow-extern --inputs zero.safetensors 2>&1 | head -2
  m.jepa:4:16: error: vjp names 2 derivatives for 1 operands
      fn square(x) = extern(x, library = "./libsquare.so", symbol = "square", shape = shape(x), vjp = ["square_vjp", none])
$ sed 's#shape = shape(x)#shape = "wide"#' extern.jepa > m.jepa; jepac run m.jepa --allow-extern --inputs zero.safetensors 2>&1 | head -2
  m.jepa:4:16: error: the shape must be a list of extents, but is "wide"
      fn square(x) = extern(x, library = "./libsquare.so", symbol = "square", shape = "wide", vjp = ["square_vjp"])
$ sed 's#extern(x,#extern(cast(x, f64), dtype = f64,#' extern.jepa > m.jepa; jepac run m.jepa --allow-extern --inputs zero.safetensors 2>&1 | head -2
  m.jepa:4:16: error: 'square' of ./libsquare.so is f32[2] -> f32[2], but it would be called as f64[2] -> f64[2]
      fn square(x) = extern(cast(x, f64), dtype = f64, library = "./libsquare.so", symbol = "square", shape = shape(x), vjp = ["square_vjp"])
$ sed 's#extern(x,#extern(x, dtype = bf16,#' extern.jepa > m.jepa; jepac run m.jepa --allow-extern --interp --inputs zero.safetensors 2>&1 | head -1
  m.jepa:4:16: error: C has no type for bf16: cast the result
$ sed 's#extern(x,#extern(merge(x, 0, 1),#; s#shape(x)#[B * 8]#' extern.jepa > m.jepa; jepac run m.jepa --allow-extern --inputs zero.safetensors 2>&1 | head -1
  m.jepa:4:16: error: 'square' of ./libsquare.so is f32[2] -> f32[2], but it would be called as f32[1] -> f32[1]
$ sed 's#extern(x,#extern(x, x,#; s#\["square_vjp"\]#none#' extern.jepa > m.jepa; jepac run m.jepa --allow-extern --inputs zero.safetensors 2>&1 | head -1
  m.jepa:4:16: error: 'square' of ./libsquare.so is f32[2] -> f32[2], but it would be called as f32[2], f32[2] -> f32[2]
$ sed 's#"square"#"square_vjp"#; s#\["square_vjp"\]#["square"]#' extern.jepa > m.jepa; jepac run m.jepa --allow-extern --inputs zero.safetensors 2>&1 | head -1
  m.jepa:4:16: error: 'square_vjp' of ./libsquare.so is f32, f32, f32 -> f32, but it would be called as f32[2] -> f32[2]
$ sed 's#, vjp = .*#)#' extern.jepa > m.jepa; jepac run m.jepa --allow-extern --grad --inputs zero.safetensors; jepac run m.jepa --allow-extern --inputs zero.safetensors -q && echo fine without
  m.jepa:4:16: error: operator extern has no derivative
      fn square(x) = extern(x, library = "./libsquare.so", symbol = "square", shape = shape(x))
                     ^
  fine without
$ sed 's#libsquare.so#nothere.so#' dump.ir > m.ir; jepac run m.ir --allow-extern --inputs zero.safetensors; echo $?
  extern.jepa:4:16: error: cannot load the library: ./nothere.so: cannot open shared object file: No such file or directory
  1

A library's code runs with the user's rights, so nothing loads one that was not allowed.

$ jepac run extern.jepa --inputs zero.safetensors; jepac run dump.ir --inputs zero.safetensors --interp -q 2>&1 | head -1
  extern.jepa:4:16: error: this calls `square` of the library ./libsquare.so: allow it with --allow-extern (libjepac: JEPAC_ALLOW_EXTERN)
      fn square(x) = extern(x, library = "./libsquare.so", symbol = "square", shape = shape(x), vjp = ["square_vjp"])
                     ^
  jepac: note: the library's code runs with all your rights: allow what you trust
  extern.jepa:4:16: error: this calls `square` of the library ./libsquare.so: allow it with --allow-extern (libjepac: JEPAC_ALLOW_EXTERN)
$ printf '#include <stdio.h>\n__attribute__((constructor)) static void c(void) { puts("loaded"); }\nvoid square(const float *x, float *y, long n, long m) { for (long i = 0; i < n * m; i++) y[i] = x[i]; }\n' | cc -shared -fPIC -o loud.so -xc -
$ sed 's#./libsquare#./loud#; s#, vjp.*#)#' extern.jepa > m.jepa; for k in check ir explain "compile -q --emit obj --entry forward"; do jepac $k m.jepa --set B=4 2>&1 | grep -c loaded; done; jepac run m.jepa --entry forward --set B=4 -q --random --allow-extern
  0
  0
  0
  0
  loaded
