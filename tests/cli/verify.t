jepac verify: nothing wrong, then a fault put into each pass and into a kernel (JEPAC_FAULT exists for this test), found and named.

$ jepac verify tiny.jepa | tail -1 | cut -d';' -f1 | sed 's/[0-9][0-9]* passes and [0-9]* kernels/N passes and N kernels/'
  ok     N passes and N kernels
$ jepac verify tiny.jepa | grep -c -e '^grad  *4 .*ok' -e '^pass  *autodiff  *ok' -e '^pass  *memplan  *ok' -e '^code '
  4
$ printf 'graph c {\n  %%0: bf16[7] = arg "x"\n  %%1: bf16[7] = cast %%0\n  return "y" %%1\n}\n' > narrow.ir; jepac verify narrow.ir | tail -1 | cut -d' ' -f1
  ok
$ sed 's/arg "x"/arg "y"/' sum.ir > names.ir; jepac verify names.ir | tail -1 | cut -d' ' -f1
  ok

A gradient that is 0 but for rounding: that of a bias before batch norm.

$ for n in 1 2 3 4; do jepac verify bias_norm.jepa --grad -q --seed $n; done | cut -d' ' -f1 | uniq
  ok

Weight gradients in bf16, in the model and by --precision.

$ for p in f32 bf16; do jepac verify weight_grad.jepa --grad -q --precision $p; done | cut -d' ' -f1
  ok
  ok

A result with the name of an argument.

$ printf 'model M() {\n  entry forward(x: f32[4]) {\n    x = x + 1\n    return x\n  }\n}\n' > again.jepa; jepac verify again.jepa -q | cut -d' ' -f1
  ok

scatter_add of every type, and gradients of a gather in bf16.

$ jepac verify scatter_types.jepa --grad -q | cut -d' ' -f1
  ok

Arguments in bf16 have values that bf16 has.

$ printf 'model M() {\n  entry forward(x: bf16[3, 7], y: bf16[3, 7]) { return a = concat(x, y, axis = 1) }\n}\n' > bf16.jepa; jepac verify bf16.jepa -q | cut -d' ' -f1
  ok

A fault in any one pass, and its model line: every pass of the pipeline in turn.

$ jepac verify tiny.jepa | grep ^pass > passes.txt; n=0; while read -r word pass rest; do n=$((n + 1)); JEPAC_FAULT=pass=$n jepac verify tiny.jepa -q > out.txt 2>&1; rc=$?; [ $rc = 5 ] && grep -q "error: pass $pass " out.txt && grep -q -e 'note: first wrong value: .* tiny.jepa:[0-9]' -e 'note: .* part of tiny.jepa:[0-9]' out.txt && echo "$pass: named" || { echo "$pass: exit $rc"; cat out.txt; }; done < passes.txt
  simplify: named
  cse: named
  narrow: named
  cse: named
  autodiff: named
  strip: named
  simplify: named
  cse: named
  simplify: named
  shard: named
  parts: named
  canon: named
  split: named
  cse: named
  dce: named
  remat: named
  layout: named
  fuse: named
  schedule: named
  chain: named
  interleave: named
  memplan: named
$ for o in '' '--precision bf16'; do jepac verify tiny.jepa $o | awk '/^pass/ { print $2 }'; done | sort -u > passes-run.txt; for p in remat precision layout fuse schedule chain interleave memplan; do grep -qx $p passes-run.txt || echo "$p is not verified"; done
$ JEPAC_FAULT=pass=99 jepac verify tiny.jepa -q
  jepac: error: JEPAC_FAULT is pass=N (of those listed), kernels, bounds or bug, not 'pass=99'
  exit 2
$ jepac opt sum.ir --passes simplify,cse -o sum2.ir; for p in autodiff strip simplify cse dce canon split narrow remat; do grep -q "^pass  *$p " passes.txt || echo "$p is not in the pipeline"; done

A fault in each kernel's code, convolutions among them.

$ JEPAC_FAULT=kernels jepac verify tiny.jepa -q | awk '/^faults/ { print ($2 == $4 && $2 > 20), $5 }'
  1 found
$ for p in f32 bf16; do JEPAC_FAULT=kernels jepac verify $ROOT/models/cnn.jepa --set batch=4 --precision $p -q | awk '/^faults/ { print ($2 == $4 && $2 > 80), $5 }'; done
  1 found
  1 found

Masks of maxima, which would change with every rounding of an operand, do not hide a fault; nor is a maximum that is computed again a fault.

$ printf 'model M() {\n  param x: f32[4, 3, 16, 16] = normal(mean = 0, std = 1)\n  entry forward(w: f32[4, 3, 8, 8]) { return s = sum(max_pool(%%s, 2) * w) }\n}\n' > pool.jepa; for x in x 'exp(x)' 'silu(x)'; do sed "s/%s/$x/" pool.jepa > one.jepa; JEPAC_FAULT=kernels jepac verify one.jepa --grad -q | sed 's/^faults.* //; s/ .*//'; done
  found
  ok
  found
  ok
  found
  ok

Memory: each kernel alone between unreadable pages; a result shorter than its kernel thinks is found, in every kernel.

$ jepac verify $ROOT/models/cnn.jepa --set batch=4 --check-bounds | sed 's/bounds [0-9]* /bounds N /'
  bounds N           ok   every access inside its operands
$ JEPAC_FAULT=bounds jepac verify $ROOT/models/cnn.jepa --set batch=4 --check-bounds -q | awk '{ print ($2 == $4 && $2 > 50), $5 }'
  1 found
$ JEPAC_FAULT=bounds jepac verify tiny.jepa --check-bounds -q | awk '{ print ($2 == $4 && $2 > 20), $5 }'
  1 found

$ jepac verify sum.ir -q | sed 's/;.*//'
  ok     22 passes and 1 kernels
$ jepac verify $ROOT/models/seq_jepa.jepa --set batch=2048 -q 2>&1 | head -1 | sed 's/about .* hours/about N hours/'
  jepac: error: verify interprets the model, which would take about N hours

An error in jepac leaves a folder that shows it again.

$ JEPAC_FAULT=bug jepac verify $ROOT/models/mlp.jepa --set batch=4 2>&1 | sed 's/bug-[0-9]*/bug-N/'; (cd jepac-bug-* && find . -type f | sort; JEPAC_FAULT=bug ./run.sh > out.txt 2>&1; echo $?)
  jepac: internal error: JEPAC_FAULT asks for one
  jepac: this is an error in jepac; jepac-bug-N/run.sh shows it again
  ./mlp.jepa
  ./nn/mlp.jepa
  ./run.sh
  70
