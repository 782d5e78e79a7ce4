jepac compile: a model file as a C library.

$ jepac compile tiny.jepa -o lib --train-step
  lib/tiny.o
  lib/libtiny.a
  lib/tiny.pc
  lib/tinyConfig.cmake
  lib/tiny.h
  lib/libtiny.so
$ ls lib
  libtiny.a
  libtiny.so
  tiny.h
  tiny.o
  tiny.pc
  tinyConfig.cmake
$ grep -e '^int ' -e '^const' -e '^/\* x:' -e TINY_NET_0_WEIGHT lib/tiny.h
  int tiny_init(void *arena, uint64_t seed);
  int tiny_train_step(void *arena);
  const tiny_tensor *tiny_tensors(int32_t *count);
  /* x: f32[16,8] */
  #define TINY_NET_0_WEIGHT_COUNT 128
$ jepac compile tiny.jepa -o lib2 --set B=4 --emit ll,asm,header --target-cpu x86-64-v3
  lib2/tiny.h
  lib2/tiny.ll
  lib2/tiny.s
$ grep -c -e '@tiny_forward(ptr' -e 'target-cpu"="x86-64"' lib2/tiny.ll
  2
$ jepac compile tiny.jepa -o lib -q --set B=4 --emit obj; ls lib2
  tiny.h
  tiny.ll
  tiny.s

A name of one's own, so that a program can take two libraries of one model.

$ jepac compile tiny.jepa -o both --train-step -q --emit obj,header --name trainer && jepac compile tiny.jepa -o both --set B=16 -q --emit obj,header --name tester; ls both; nm both/*.o | grep -c ' T tiny'; grep '^int ' both/*.h
  tester.h
  tester.o
  trainer.h
  trainer.o
  0
  both/tester.h:int tester_init(void *arena, uint64_t seed);
  both/tester.h:int tester_forward(void *arena);
  both/trainer.h:int trainer_init(void *arena, uint64_t seed);
  both/trainer.h:int trainer_train_step(void *arena);
$ jepac compile tiny.jepa -o both --name 2nd
  jepac: error: --name 2nd is not a C identifier
  exit 2

Folders whose names are something else to a C compiler and a linker.

$ for d in -g = 'a b' "it's"; do jepac compile tiny.jepa -o "$d" --set B=4 --emit lib | tail -1; done
  -g/libtiny.so
  =/libtiny.so
  a b/libtiny.so
  it's/libtiny.so

What is not understood.

$ jepac compile tiny.jepa
  jepac: error: jepac compile needs -o DIR
  exit 2
$ jepac compile tiny.jepa -o lib --emit obj,hedder
  jepac: error: --emit takes obj, lib, header, ll, asm and weights, not 'hedder'
  jepac: note: did you mean 'header'?
  exit 2
$ jepac compile tiny.jepa -o lib --target-cpu z80
  jepac: error: unknown CPU 'z80' for x86_64
  jepac: note: there are x86-64, x86-64-v3, x86-64-v4, haswell, znver3, znver4, host, ...
  exit 2
$ jepac compile tiny.jepa -o lib --target-triple sparc-sun-solaris
  jepac: error: unknown target 'sparc-sun-solaris'
  jepac: note: there are x86_64-linux-gnu and aarch64-linux-gnu
  exit 2
$ jepac compile tiny.jepa -o lib --entry forwrd
  jepac: error: tiny.jepa has no entry 'forwrd'
  jepac: note: did you mean 'forward'?
  exit 2
$ jepac compile tiny.jepa -o none --train-step --mode eval; jepac compile tiny.jepa -o none --entry train_step --mode eval; test -e none
  jepac: error: train_step runs in train mode
  jepac: error: train_step runs in train mode
  exit 1
$ touch file; jepac compile tiny.jepa -o file --set B=4
  jepac: error: cannot make folder file: Not a directory
  exit 3
$ jepac compile nothere.jepa -o lib
  jepac: error: cannot read model nothere.jepa: No such file or directory
  exit 3

Without a C compiler there is no shared library, which is said.

$ mkdir lib3; touch lib3/libtiny.so; CC=./nothere jepac compile tiny.jepa -o lib3 -q --set B=4 --emit lib; ls lib3
  jepac: warning: libtiny.so is not made: cannot run the C compiler ./nothere: No such file or directory
  libtiny.a
  tiny.pc
  tinyConfig.cmake

Names that C cannot tell apart: of tensors (their counts are in capitals) and of the library's own functions; a path that ends comments.

$ printf 'model M() {\n  entry error(x: f32[3], X: f32[4]) { return init = sum(x) + sum(X), y = x }\n}\n' > names.jepa; mkdir 'n*'; cp names.jepa 'n*/of.jepa'; jepac compile 'n*/of.jepa' -o names -q && grep -e '^int' -e ^static -e COUNT names/of.h; echo '#include "of.h"' | cc -Wall -Wextra -Werror -Inames -c -x c -o /dev/null - && nm names/of.o | grep ' T '
  int of_init(void *arena, uint64_t seed);
  int of_entry_error(void *arena);
  static inline const char *of_error(int code) {
  #define OF_X_COUNT 3
  static inline float *of_x(void *arena) {
  #define OF_IN_X_COUNT 4
  static inline float *of_in_X(void *arena) {
  #define OF_OUT_INIT_COUNT 1
  static inline float *of_out_init(void *arena) {
  #define OF_Y_COUNT 3
  static inline float *of_y(void *arena) {
  00000000000002d0 T of_arena_align
  00000000000002c0 T of_arena_size
  00000000000000b0 T of_entry_error
  00000000000001c0 T of_init
  00000000000002b0 T of_tensors

Given weights: in the library, or in a file that is read into an arena; both are those that `jepac run` computes with. Another file of the same model takes its place.

$ jepac train tiny.jepa --steps 5 --out trained -q --progress none; mkarrays given x=f4:4x8:0.5 label=i8:4:0,1,2 && jepac ckpt convert given x.safetensors > log && jepac run tiny.jepa --params trained --inputs x.safetensors | grep loss
  loss 2.16664386
$ jepac compile tiny.jepa --params trained --set B=4 -o in -q && cc -Wall -Wextra -Werror -Iin weights.c in/libtiny.a -lm -o in/loss && in/loss | tee in.txt; nm -u in/tiny.o | grep -c fopen; grep "the weights" in/tiny.h
  2.166644
  0
  /* Gives every state its initial value, 4 of them the weights in the library. */
$ jepac compile tiny.jepa --params trained --set B=4 -o beside --emit lib,header,weights | tail -2 && cc -Wall -Wextra -Werror -DLOAD -Ibeside weights.c beside/libtiny.a -lm -o beside/loss && beside/loss beside/tiny.safetensors | diff - in.txt; jepac ckpt diff trained beside/tiny.safetensors | grep net
  beside/tiny.safetensors
  beside/libtiny.so
  optimizer.net.0.bias.m: only in trained
$ jepac train tiny.jepa --steps 9 --out more -q --progress none; jepac compile tiny.jepa --params more --set B=4 -o beside --emit weights; beside/loss beside/tiny.safetensors | diff -q - in.txt
  beside/tiny.safetensors
  Files - and in.txt differ
  exit 1
$ beside/loss; beside/loss nothere; head -c 900 beside/tiny.safetensors > cut; beside/loss cut; sed 's/F32/F16/' beside/tiny.safetensors > other; beside/loss other; cat beside/tiny.safetensors beside/tiny.safetensors > long; beside/loss long
  the file of weights cannot be opened
  the file of weights cannot be opened
  the file of weights is not this library's
  the file of weights is not this library's
  the file of weights is not this library's
  exit 6

An average that has no weights of its own begins as a copy of those that were given, in both.

$ printf 'dim B\nmodel M() {\n  a = Linear(2, 2)\n  t = ema(a, decay = 0.5)\n  entry forward(x: f32[B, 2]) { return loss = sum(a(x)), y = t(x) }\n}\ntrain M {\n  minimize forward.loss\n  optimizer = sgd(lr = 0)\n  batch = 2, steps = 1\n}\n' > avg.jepa; mkarrays states a.weight=f4:2x2:7 a.bias=f4:2:3; jepac ckpt convert states a.safetensors > log; for e in obj,header obj,header,weights; do jepac compile avg.jepa --train-step --set B=2 --params a.safetensors --params-missing ok --emit $e -o avg -q; printf '#include "avg.h"\n#include <stdio.h>\n#include <stdlib.h>\nint main(void) {\n  void *a = aligned_alloc(64, AVG_ARENA_SIZE);\n  if (avg_init(a, 1)) return 1;\n#ifdef LOAD\n  if (avg_load(a, "avg/avg.safetensors")) return 2;\n#endif\n  printf("%%g %%g\\n", *avg_t_weight(a), *avg_t_bias(a));\n}\n' > avg.c; cc -Iavg $(grep -q avg_load avg/avg.h && echo -DLOAD) avg.c avg/avg.o -lm -o avg/run && avg/run; done
  jepac: warning: a.safetensors gives 2 of 4 states; the others keep their initial values, the first: 't.weight'
  7 3
  jepac: warning: a.safetensors gives 2 of 4 states; the others keep their initial values, the first: 't.weight'
  7 3

Weights that do not fit.

$ jepac compile tiny.jepa -o none --emit lib,weights; jepac compile tiny.jepa -o none --params-missing ok; jepac compile tiny.jepa -o none --params nothere
  jepac: error: --emit weights needs --params
  jepac: error: --params-missing needs --params
  jepac: error: cannot read nothere: No such file or directory
  exit 3
$ jepac compile tiny.jepa -o none --params trained --set width=8
  jepac: error: trained/checkpoint.safetensors: 'net.0.weight' is f32[16,8], but the model needs f32[8,8]
  tiny.jepa:5:20: note: the model's 'net.0.weight'
        net = Sequential(Linear(8, width), ReLU(), Linear(width, classes))
                         ^
  exit 3
$ jepac compile tiny.jepa -o none --entry nope --set B=4; jepac compile tiny.jepa -o none --entry forwad --set B=4 2>&1 | tail -1
  jepac: error: tiny.jepa has no entry 'nope'
  jepac: note: it has 'forward'
  jepac: note: did you mean 'forward'?
$ jepac ckpt convert trained bent.safetensors --rename net.0.weight=net.0.wieght > log; jepac compile tiny.jepa -o none --params bent.safetensors --set B=4
  jepac: error: bent.safetensors lacks 'net.0.weight': f32[16,8]
  jepac: note: it has 'net.0.wieght'
  exit 3
$ jepac ckpt convert trained part.safetensors --rename net.0=net.0,net.2=- > log && jepac compile tiny.jepa -o none --params part.safetensors --set B=4; jepac compile tiny.jepa -o part --params part.safetensors --params-missing ok --set B=4 -q && grep "the weights" part/tiny.h; ls none
  jepac: error: part.safetensors lacks 'net.2.weight': f32[10,16]
  jepac: note: 1 more is missing
  jepac: warning: part.safetensors gives 2 of 4 states; the others keep their initial values, the first: 'net.2.weight'
  jepac: warning: 8 of the 10 tensors of part.safetensors are no states of the model, the first: 'optimizer.net.0.bias.m'
  /* Gives every state its initial value, 2 of them the weights in the library. */
  ls: cannot access 'none': No such file or directory
  exit 2
