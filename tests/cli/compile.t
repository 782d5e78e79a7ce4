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
  jepac: error: --emit takes obj, lib, header, ll and asm, not 'hedder'
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
  00000000000000b0 T of_entry_error
  00000000000001c0 T of_init
  00000000000002b0 T of_tensors
